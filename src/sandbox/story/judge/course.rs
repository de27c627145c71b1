//! The course of both stories, from the listing of the judge to the word of the nodes.

use super::*;

type Three<'a> = (&'a mut Option<Party>, &'a Party, &'a mut Option<Party>);

impl Course<'_> {
    fn patience(&self) -> Duration {
        Duration::from_secs(if self.way.is_some() { 15 } else { 90 })
    }

    pub(super) async fn run(
        &mut self,
        world: &mut World,
        (requester, worker, judge): Three<'_>,
        chosen: &Arc<Mutex<BTreeSet<BidId>>>,
        play: &Play,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let asks = requester.as_ref().ok_or_else(|| anyhow!("there is no requester"))?;
        let judges = judge.as_ref().ok_or_else(|| anyhow!("there is no judge"))?;
        world.open_channel(asks, (self.price.whole_sats() * 4).max(1_000_000)).await?;
        world.sync(&[asks, worker, judges]).await?;
        teller.step("the requester has coins from the faucet and a channel to the LSP");
        let listing = self.listing(judges, teller).await?;
        let job = self.award(asks, worker, listing, teller).await?;
        if self.end == End::Refused && self.way != Some("honest") {
            chosen.lock().unwrap_or_else(PoisonError::into_inner).insert(job);
        }
        let hash = self.lock(world, (asks, worker, judges), job, teller).await?;
        if self.way == Some("judge-away")
            && let Some(gone) = judge.take()
        {
            gone.app.stop().await?;
        }
        let work = match &play.file {
            Some(file) => file.clone(),
            None => self.work(world.dir()).await?,
        };
        let message = "One page.".to_owned();
        let deliver = Command::Deliver { job, file: work.clone(), message };
        worker.app.handle().ask(deliver).await?;
        match self.end {
            End::Released => {
                self.opened(asks, job, hash, &work, teller).await?;
                if let Some(gone) = requester.take() {
                    gone.app.stop().await?;
                }
                teller.step("the requester has read the work, and is never heard again");
                self.ruled_for_worker(world, worker, judge.as_ref(), job, teller).await?;
                let back = &*requester.insert(world.party("requester", None, |p| p).await?);
                back.wait("the end of its payment", self.patience(), |s| {
                    view(s, job).filter(|v| v.phase == Phase::Settled).map(|_| ())
                })
                .await?;
                self.seen.routing_fee = shown(back, job).map_or(Msat::ZERO, |e| e.fee);
                teller.step("the requester's node comes back and sees that it has paid");
                self.ask_the_node(back).await
            }
            End::Refused => {
                self.caught(asks, job, teller).await?;
                let there = (asks, worker);
                self.ruled_for_requester(world, there, judge.as_ref(), job, teller).await?;
                self.ask_the_node(asks).await
            }
        }
    }

    /// The judge says to everybody what it does.
    async fn listing(&self, judge: &Party, teller: &mut Teller<'_>) -> anyhow::Result<JudgeTerms> {
        let draft = GigDraft {
            summary: "Opens the work, runs the checks, rules. Never holds a coin.".into(),
            content: "Who delivers in time what opens and passes the checks is paid.".into(),
            tags: vec![DETERMINISTIC.into(), "hash".into(), "schema".into(), "rules".into()],
            ..judging("I judge escrows, by what can be computed")?
        };
        let listing =
            judge.app.handle().ask(Command::Post { draft, inputs: Vec::new(), key: None }).await?;
        let identity = judge.app.handle().watch().borrow().identity;
        let identity = identity.ok_or_else(|| anyhow!("the judge has no name"))?;
        teller.step("the judge has published what it does and for which fee");
        Ok(JudgeTerms { identity, listing: listing.log })
    }

    async fn award(
        &self,
        requester: &Party,
        worker: &Party,
        judge: JudgeTerms,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<BidId> {
        for party in [requester, worker] {
            self.in_the_book(party, judge.listing).await?;
        }
        let draft = GigDraft {
            summary: "A text whose worth is seen by reading it.".into(),
            content: "One page on why rivers bend. The money is locked before you begin.".into(),
            tags: vec!["writing".into()],
            modes: vec![Mode::Escrow],
            escrow: Some(EscrowTerms { window: LEAST_WINDOW, judge: Some(judge) }),
            ..gig("Write a short text about rivers", self.price)
        };
        let gig = requester
            .app
            .handle()
            .ask(Command::Post { draft, inputs: Vec::new(), key: None })
            .await?;
        self.in_the_book(worker, gig.log).await?;
        worker
            .wait("the LSP's terms", self.patience(), |s| s.node.as_ref()?.least_first.map(|_| ()))
            .await?;
        let message = "Gladly, before this judge.".to_owned();
        let bid = Command::Bid { gig: gig.log, wish: Wish::default(), message };
        let job = worker.app.handle().ask(bid).await?.log;
        requester.wait("the bid", self.patience(), |s| view(s, job).map(|_| ())).await?;
        requester.app.handle().ask(Command::Award { job }).await?;
        teller.step("a gig in escrow before that judge is posted, bid on and awarded");
        Ok(job)
    }

    async fn in_the_book(&self, party: &Party, id: EventId) -> anyhow::Result<()> {
        let looking = async {
            while party.app.handle().gig(id).await?.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        let found = tokio::time::timeout(self.patience(), looking).await;
        found.map_err(|_| anyhow!("{} looked for a listing in vain", party.name))?
    }

    /// From the hold invoice to the judge's word.
    async fn lock(
        &mut self,
        world: &World,
        (requester, worker, judge): (&Party, &Party, &Party),
        job: BidId,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<PaymentHash> {
        requester
            .wait("the hold invoice", self.patience(), |s| escrow(s, job)?.end.map(|_| ()))
            .await?;
        let max_fee = self.price.ppm(10_000);
        requester.app.handle().ask(Command::Fund { job, max_fee }).await?;
        worker
            .wait("the held payment", self.patience(), |s| {
                view(s, job).filter(|v| v.phase == Phase::Funding).map(|_| ())
            })
            .await?;
        teller.step("the payment is held at the worker's node, over a channel that opened for it");
        self.seen.secret_after_lock = Some(judge.app.handle().watch().borrow().cases.is_empty());
        let early = worker.app.handle().ask(Command::Deliver {
            job,
            file: self.work(world.dir()).await?,
            message: String::new(),
        });
        self.seen.no_work_before = Some(early.await.is_err());
        world.mine(3, &[requester, worker, judge]).await?;
        judge
            .wait("a case", self.patience(), |s| s.cases.values().next().map(|_| ()))
            .await
            .context("the judge was not appointed")?;
        teller.step("the channel is confirmed; the judge has been given a copy of the secret");
        let at = |s: &Snapshot| view(s, job).filter(|v| v.phase == Phase::Working).map(|_| ());
        worker.wait("the judge's word", self.patience(), at).await?;
        requester.wait("the judge's word", self.patience(), at).await?;
        let seen =
            requester.wait("the escrow", self.patience(), |s| escrow(s, job).cloned()).await?;
        let holding = worker.app.node().holding(&seen.hash).await?;
        self.seen.held = Some(holding.is_some());
        self.seen.claim_deadline = holding.map(|h| h.deadline);
        self.seen.funded_height = Some(worker.app.node().status().await?.height);
        self.seen.lsp_fee = shown(worker, job).map_or(Msat::ZERO, |e| e.lsp_fee);
        let rows = requester.app.handle().payments().await?;
        self.seen.invoice = rows.into_iter().find(|r| r.hash == seen.hash).map(|r| r.invoice);
        teller.step("the judge has said that it holds the secret: the worker may work");
        Ok(seen.hash)
    }

    async fn work(&self, dir: &Path) -> anyhow::Result<PathBuf> {
        let mut text = String::from("Why rivers bend\n\n");
        for line in 1..=400 {
            text.push_str(&format!("{line}. The outer bank is worn and the inner one grows.\n"));
        }
        let file = dir.join("rivers.txt");
        tokio::fs::write(&file, text).await?;
        Ok(file)
    }

    /// The requester has the work, and the money is still locked.
    async fn opened(
        &mut self,
        requester: &Party,
        job: BidId,
        hash: PaymentHash,
        sent: &Path,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let output = requester
            .wait("the opened work", self.patience(), |s| {
                view(s, job)?.delivery.as_ref()?.output.clone()
            })
            .await?;
        let state = requester.app.node().lookup(&hash).await?;
        anyhow::ensure!(state == PaymentState::InFlight, "the money is not locked: {state:?}");
        self.seen.files.push(FileSummary {
            sent: sent.to_owned(),
            sha256: sha256_file(&output).await?,
            bytes: tokio::fs::metadata(&output).await?.len(),
            received: output,
        });
        teller.step("the work is delivered, with its key, while the money stays locked");
        Ok(())
    }

    /// Blocks pass; the worker's program calls the judge, which hears nobody else and rules.
    async fn ruled_for_worker(
        &mut self,
        world: &World,
        worker: &Party,
        judge: Option<&Party>,
        job: BidId,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let marks =
            shown(worker, job).and_then(|e| e.judge.clone()).context("there is no judge")?;
        let there: Vec<&Party> = std::iter::once(worker).chain(judge).collect();
        let until = |mark: Option<u32>| mark.context("a height is missing");
        mine_to(world, until(marks.verdict_by)?, &there).await?;
        worker
            .wait("its call for the judge", self.patience(), |s| {
                view(s, job).filter(|v| v.phase == Phase::Disputed).map(|_| ())
            })
            .await?;
        teller.step(
            "the time to accept or reject has passed: the worker's program has called the judge",
        );
        let judge = judge.ok_or_else(|| anyhow!("the judge is away"))?;
        let case = self.examined(judge).await?;
        self.seen.judge_read = Some(case.output.is_some());
        teller
            .step("the judge has fetched the work, opened it, and found it to be what was signed");
        mine_to(world, until(marks.object_by)?, &there).await?;
        self.ruling(judge).await?;
        teller.step("nobody has objected: the judge has given both sides the secret");
        worker
            .wait("its money", self.patience(), |s| {
                view(s, job).filter(|v| v.phase == Phase::Settled).map(|_| ())
            })
            .await?;
        self.seen.resolved_by = Some("claim");
        teller.step("the worker has claimed what its node held");
        Ok(())
    }

    /// What the judge's program sees of the work.
    async fn examined(&mut self, judge: &Party) -> anyhow::Result<CaseView> {
        let seen = |s: &Snapshot| {
            let case = s.cases.values().next().filter(|case| case.finding.is_some())?;
            Some((**case).clone())
        };
        let case = judge.wait("what the files say", self.patience(), seen).await?;
        self.seen.finding = case.finding.as_ref().map(ToString::to_string);
        Ok(case)
    }

    async fn ruling(&mut self, judge: &Party) -> anyhow::Result<()> {
        let ruled = |s: &Snapshot| {
            let case = s.cases.values().next().filter(|case| case.phase == CasePhase::Ruled)?;
            case.ruling.as_ref().map(|(whose, _)| *whose)
        };
        let whose = judge.wait("its ruling", self.patience(), ruled).await?;
        self.seen.ruled_for = Some(match whose {
            Role::Worker => "worker",
            Role::Requester => "requester",
        });
        Ok(())
    }

    /// The requester's program opens what came, and cannot.
    async fn caught(
        &mut self,
        requester: &Party,
        job: BidId,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let proof = requester
            .wait("a proof", self.patience(), |s| {
                escrow(s, job)?;
                // A delivery that was rejected stands no more; its proof is told.
                view(s, job).filter(|v| v.phase == Phase::Working && v.reason.is_some()).map(|_| ())
            })
            .await;
        proof.context("the worker was not caught")?;
        let lines = requester.app.handle().history(job).await?;
        let path = lines.iter().find(|line| line.kind == "proven").and_then(|l| l.path.clone());
        let path = path.context("no proof was made")?;
        let bytes = tokio::fs::read(&path).await?;
        self.seen.proof = Some(matches!(
            crate::app::verify_proof(&bytes),
            Ok(crate::app::Judgement::Guilty { .. })
        ));
        teller.step(
            "the key does not open what was signed: the requester has a proof, and has rejected",
        );
        Ok(())
    }

    async fn ruled_for_requester(
        &mut self,
        world: &World,
        (requester, worker): (&Party, &Party),
        judge: Option<&Party>,
        job: BidId,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        worker
            .wait("the rejection", self.patience(), |s| {
                view(s, job).filter(|v| v.phase == Phase::Working).map(|_| ())
            })
            .await?;
        let reason = "It is exactly what was asked for.".to_owned();
        worker.app.handle().ask(Command::Dispute { job, reason }).await?;
        teller.step("the worker has called the judge all the same");
        let judge = judge.ok_or_else(|| anyhow!("the judge is away"))?;
        self.examined(judge).await?;
        self.ruling(judge).await?;
        teller.step("the judge has looked for itself, and has given nobody the secret");
        worker
            .wait("the ruling", self.patience(), |s| {
                let back = |v: &&crate::engine::JobView| {
                    matches!(v.phase, Phase::Refunding | Phase::Refunded)
                };
                view(s, job).filter(back).map(|_| ())
            })
            .await?;
        world.still(&[requester, worker]).await?;
        // A block is what an escrow looks at its channels by.
        world.mine(1, &[requester, worker]).await?;
        for party in [worker, requester] {
            party
                .wait("the money to be back", self.patience(), |s| {
                    view(s, job).filter(|v| v.phase == Phase::Refunded).map(|_| ())
                })
                .await?;
        }
        self.seen.resolved_by = Some("fail_back");
        self.seen.lsp_fee = Msat::ZERO;
        teller.step("the worker's node has sent the money back, and the requester has it");
        Ok(())
    }

    /// The payment as the requester's own node tells it.
    async fn ask_the_node(&mut self, requester: &Party) -> anyhow::Result<()> {
        for line in requester.app.handle().payments().await? {
            let (preimage, state) = match requester.app.node().lookup(&line.hash).await? {
                PaymentState::Paid { preimage, .. } => {
                    self.seen.times_paid += 1;
                    (Some(hex::encode(preimage.expose())), "paid")
                }
                PaymentState::InFlight => (None, "inflight"),
                PaymentState::Failed { .. } => (None, "failed"),
                PaymentState::Unknown => (None, "unknown"),
            };
            self.seen.payment = Some(PaymentSummary {
                hash: line.hash.to_string(),
                preimage,
                amount_msat: line.amount.get(),
                from: "requester".into(),
                to: "worker".into(),
                mode: "escrow".into(),
                state: state.into(),
            });
        }
        Ok(())
    }
}

/// Blocks up to this height, seen by everybody who is there.
async fn mine_to(world: &World, height: u32, there: &[&Party]) -> anyhow::Result<()> {
    let now = world.chain().height().await?;
    world.mine(height.saturating_sub(now), there).await
}

fn escrow(snapshot: &Snapshot, job: BidId) -> Option<&EscrowView> {
    view(snapshot, job)?.escrow.as_ref()
}

/// The escrow as a party's own screen shows it now.
fn shown(party: &Party, job: BidId) -> Option<EscrowView> {
    let snapshot = party.app.handle().watch().borrow().clone();
    escrow(&snapshot, job).cloned()
}

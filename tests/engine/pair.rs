//! Two people: each a real core, real keys, a real store in memory and real files. What lies between
//! them (relay, node, transfer) is done by hand, one event at a time, so that a test can bend it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use earnest::engine::*;
use earnest::files::JobFiles;
use earnest::keys::{Keys, Phrase, Secrets};
use earnest::market::*;
use earnest::store::Database;
use ldk_node::lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};

pub(crate) const START: u64 = 1_790_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Requester,
    Worker,
}
pub(crate) use Who::{Requester, Worker};

impl Who {
    pub(crate) fn other(self) -> Self {
        if self == Requester { Worker } else { Requester }
    }
    fn at(self) -> usize {
        self as usize
    }
}

/// A clock that the test moves.
pub(crate) struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

/// Dice that count.
pub(crate) struct Counting(AtomicU64);

impl Dice for Counting {
    fn nonce(&self) -> Nonce {
        let n = self.0.fetch_add(1, Ordering::SeqCst);
        Nonce(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }
}

/// When a store dies.
#[derive(Debug, Default)]
pub(crate) struct Death {
    /// Commits so far.
    pub(crate) commits: u64,
    /// At this one.
    pub(crate) at: Option<u64>,
    /// Before it is durable, or right after.
    pub(crate) before: bool,
    /// It has happened: nothing more is written.
    pub(crate) dead: bool,
}

/// A store whose process can be killed at any commit.
pub(crate) struct Frail(Database, Arc<Mutex<Death>>);

impl Store for Frail {
    fn commit(&mut self, commit: &Commit) -> Result<Committed, Fault> {
        let killed = || Fault::Later("killed".into());
        let mut death = self.1.lock().unwrap();
        if death.dead {
            return Err(killed());
        }
        death.commits += 1;
        if death.at == Some(death.commits) {
            death.dead = true;
            if !death.before {
                self.0.commit(commit)?;
            }
            return Err(killed());
        }
        self.0.commit(commit)
    }
    fn seen(&self, source: &str, key: &str) -> Result<bool, Fault> {
        self.0.seen(source, key)
    }
    fn logs(&self) -> Result<Vec<(EventId, Vec<FactRow>)>, Fault> {
        self.0.logs()
    }
    fn log(&self, log: &EventId) -> Result<Vec<FactRow>, Fault> {
        self.0.log(log)
    }
    fn lease(&mut self, now: Time, until: Time, limit: usize) -> Result<Vec<EffectRow>, Fault> {
        self.0.lease(now, until, limit)
    }
    fn release_leases(&mut self) -> Result<(), Fault> {
        self.0.release_leases()
    }
    fn next_due(&self) -> Result<Option<Time>, Fault> {
        self.0.next_due()
    }
    fn outbox(&self) -> Result<(u64, u64), Fault> {
        self.0.outbox()
    }
    fn payment(&self, hash: &PaymentHash) -> Result<Option<LedgerRow>, Fault> {
        self.0.payment(hash)
    }
    fn payments(&self) -> Result<Vec<LedgerRow>, Fault> {
        self.0.payments()
    }
    fn gig(&self, id: &EventId) -> Result<Option<(Gig, String)>, Fault> {
        self.0.gig(id)
    }
    fn find(&self, query: &Query, now: Time) -> Result<Page, Fault> {
        self.0.find(query, now)
    }
    fn prune(&mut self, now: Time) -> Result<u64, Fault> {
        self.0.prune(now)
    }
    fn cursor(&self, subscription: &str) -> Result<Option<Time>, Fault> {
        self.0.cursor(subscription)
    }
}

impl Frail {
    /// A listing version is still here.
    pub(crate) fn gig_kept(&self, id: &EventId) -> bool {
        self.0.gig(id).unwrap().is_some()
    }
}

/// One held or ended payment between the two nodes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Htlc {
    Held,
    Paid(Preimage),
    Failed,
}

/// Both nodes.
#[derive(Default)]
pub(crate) struct Nodes {
    pub(crate) invoices: BTreeMap<PaymentHash, (Who, Billed, Msat)>,
    pub(crate) htlcs: BTreeMap<PaymentHash, (Who, Msat, Htlc)>,
    /// Every HTLC that ever left, in order.
    pub(crate) sent: Vec<(Who, PaymentHash, Msat)>,
    /// Msat earned (or, below zero, spent) by each.
    pub(crate) earned: [i128; 2],
    /// How many of the next payments find no route.
    pub(crate) no_route: u32,
    /// The payee's node shrugs: Ok to every claim, and nothing comes of it.
    pub(crate) claims_lost: bool,
    /// The chain's tip.
    pub(crate) height: u32,
    /// Heights from which held payments go back by themselves, and nobody is told at the payee's.
    pub(crate) deadlines: BTreeMap<PaymentHash, u32>,
    /// Confirmations of the payee's channel.
    pub(crate) confirmations: u32,
}

pub(crate) struct Side {
    core: Option<Core<Frail>>,
    pub(crate) keys: Arc<Keys>,
    node: SecretKey,
    pub(crate) endpoint: EndpointId,
    pub(crate) files: JobFiles,
    heard: usize,
    pub(crate) queue: VecDeque<NodeEvent>,
    pub(crate) death: Arc<Mutex<Death>>,
    /// Hears nothing for now.
    pub(crate) deaf: bool,
    /// Runs no effect of these kinds for now.
    pub(crate) lazy: Vec<&'static str>,
    /// What was leased and not run.
    pub(crate) kept: Vec<(EffectRow, Effect)>,
    /// Everything that was run, with what came of it.
    pub(crate) ran: Vec<(EffectRow, Effect, Outcome)>,
    /// Everything that the node said.
    pub(crate) said: Vec<NodeEvent>,
}

/// The two of them.
pub(crate) struct Pair {
    pub(crate) clock: Arc<Hands>,
    dice: Arc<Counting>,
    pub(crate) dir: tempfile::TempDir,
    rt: tokio::runtime::Runtime,
    pub(crate) events: Vec<RelayEvent>,
    pub(crate) nodes: Nodes,
    pub(crate) sides: [Side; 2],
    pub(crate) restarts: u32,
    /// Everything is told twice: outcomes, events, what the node says.
    pub(crate) twice: bool,
}

pub(crate) enum Ran {
    Wrapped(Effect),
    Outcome(Result<Outcome, Fault>),
}

fn later(why: &str) -> Fault {
    Fault::Later(why.into())
}

pub(crate) fn sats(n: u64) -> Msat {
    Msat::sats(n).unwrap()
}

impl Pair {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hands(AtomicU64::new(START)));
        let dice = Arc::new(Counting(AtomicU64::new(0)));
        let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let side = |who: Who| {
            let n = 40 + who as u8;
            let secrets = Secrets { phrase: Phrase::new(&[n; 32]), imported: None };
            let keys = Arc::new(Keys::new(&secrets, dice.clone(), clock.clone()));
            Side {
                core: None,
                keys,
                node: SecretKey::from_slice(&[n; 32]).unwrap(),
                endpoint: EndpointId(*blake3::hash(&[n]).as_bytes()),
                files: JobFiles::new(&dir.path().join(format!("{who:?}"))).unwrap(),
                heard: 0,
                queue: VecDeque::new(),
                death: Arc::default(),
                deaf: false,
                lazy: Vec::new(),
                kept: Vec::new(),
                ran: Vec::new(),
                said: Vec::new(),
            }
        };
        let sides = [side(Requester), side(Worker)];
        let mut pair = Self {
            clock,
            dice,
            dir,
            rt,
            events: Vec::new(),
            nodes: Nodes { height: 1000, confirmations: 6, ..Nodes::default() },
            sides,
            restarts: 0,
            twice: false,
        };
        for who in [Requester, Worker] {
            let store = Frail(Database::memory().unwrap(), pair.side(who).death.clone());
            pair.open(who, store);
        }
        pair
    }

    fn open(&mut self, who: Who, store: Frail) {
        let me = self.me(who);
        let keys = self.side(who).keys.clone();
        let core = Core::open(store, keys, self.clock.clone(), self.dice.clone(), me).unwrap();
        self.sides[who.at()].core = Some(core);
    }

    pub(crate) fn me(&self, who: Who) -> Me {
        let node = PublicKey::from_secret_key(&Secp256k1::new(), &self.side(who).node);
        Me {
            node: NodeId(node.serialize()),
            address: Address {
                endpoint: self.side(who).endpoint,
                direct: vec!["127.0.0.1:9000".into()],
                relay: None,
            },
            relays: vec!["wss://relay.example".into()],
            network: Network::Regtest,
            spendable: sats(10_000_000),
            least_first: Some(sats(1)),
        }
    }

    pub(crate) fn side(&self, who: Who) -> &Side {
        &self.sides[who.at()]
    }
    pub(crate) fn side_mut(&mut self, who: Who) -> &mut Side {
        &mut self.sides[who.at()]
    }
    pub(crate) fn core(&self, who: Who) -> &Core<Frail> {
        self.side(who).core.as_ref().unwrap()
    }
    pub(crate) fn core_mut(&mut self, who: Who) -> &mut Core<Frail> {
        self.side_mut(who).core.as_mut().unwrap()
    }
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }
    pub(crate) fn pass(&mut self, span: Span) {
        self.clock.0.fetch_add(span.0, Ordering::SeqCst);
    }
    pub(crate) fn id(&self) -> BidId {
        *self.core(Worker).jobs().keys().next().unwrap()
    }
    pub(crate) fn job(&self, who: Who) -> Job {
        self.core(who).jobs().values().next().unwrap().clone()
    }
    pub(crate) fn phase(&self, who: Who) -> Phase {
        self.job(who).phase
    }
    pub(crate) fn ledger(&self, who: Who) -> Vec<LedgerRow> {
        self.core(who).store().payments().unwrap()
    }

    /// The process is killed and started again; `true` if it had to be.
    pub(crate) fn restart_if_dead(&mut self, who: Who) -> bool {
        let dead = self.side(who).death.lock().unwrap().dead;
        if dead {
            self.restart(who);
        }
        dead
    }

    /// Everything in memory is gone; relays and node tell everything again.
    pub(crate) fn restart(&mut self, who: Who) {
        self.restarts += 1;
        let store = self.side_mut(who).core.take().unwrap().into_store();
        *self.side(who).death.lock().unwrap() = Death::default();
        self.side_mut(who).heard = 0;
        self.side_mut(who).kept.clear();
        self.open(who, store);
        let Replays { claims, payments } = self.core(who).replays();
        for claim in claims {
            let key = self.core(who).claim_key(&claim).unwrap();
            self.claim(who, &claim.hash, &key);
        }
        for hash in payments {
            let state = self.lookup(&hash);
            let _ = self.core_mut(who).payment(&hash, &state);
        }
    }

    // ------------------------------------------------------------ the nodes

    /// A BOLT 11 invoice signed by this side's node.
    pub(crate) fn invoice(
        &self,
        who: Who,
        order: &BillOrder,
        bend: impl FnOnce(&mut Bend),
    ) -> String {
        let mut bent = Bend {
            currency: Currency::Regtest,
            node: self.side(who).node,
            cltv: order.hold_blocks.map_or(44, |blocks| u64::from(blocks) + 39),
            at: self.now(),
            order: order.clone(),
            any_amount: false,
        };
        bend(&mut bent);
        let builder = InvoiceBuilder::new(bent.currency.clone())
            .description_hash(sha256::Hash::from_byte_array(bent.order.description_hash.0))
            .payment_hash(sha256::Hash::from_byte_array(bent.order.hash.0))
            .payment_secret(PaymentSecret([9; 32]))
            .duration_since_epoch(std::time::Duration::from_secs(bent.at.0))
            .expiry_time(std::time::Duration::from_secs(u64::from(bent.order.expiry_secs)))
            .min_final_cltv_expiry_delta(bent.cltv);
        let builder = if bent.any_amount {
            builder
        } else {
            builder.amount_milli_satoshis(bent.order.amount.get())
        };
        builder
            .build_signed(|hash| Secp256k1::new().sign_ecdsa_recoverable(hash, &bent.node))
            .unwrap()
            .to_string()
    }

    fn bill(&mut self, who: Who, order: &BillOrder) -> Result<Billed, Fault> {
        if let Some((_, billed, _)) = self.nodes.invoices.get(&order.hash)
            && !order.again
        {
            return Ok(billed.clone());
        }
        let invoice = self.invoice(who, order, |_| {});
        let billed = Billed { invoice, lsp_fee: Msat::ZERO };
        self.nodes.invoices.insert(order.hash, (who, billed.clone(), order.amount));
        Ok(billed)
    }

    fn lookup(&self, hash: &PaymentHash) -> PaymentState {
        match self.nodes.htlcs.get(hash) {
            None => PaymentState::Unknown,
            Some((_, _, Htlc::Held)) => PaymentState::InFlight,
            Some((_, _, Htlc::Paid(preimage))) => {
                PaymentState::Paid { preimage: *preimage, fee: sats(1) }
            }
            Some((_, _, Htlc::Failed)) => PaymentState::Failed { reason: "It came back.".into() },
        }
    }

    /// Puts a payment on its way, whatever any engine thinks of it.
    pub(crate) fn pay(&mut self, who: Who, order: &PayOrder) -> Result<PaymentState, Fault> {
        match self.lookup(&order.hash) {
            PaymentState::Unknown | PaymentState::Failed { .. } => {}
            state => return Ok(state),
        }
        let tip = self.nodes.height;
        if order.tips.is_some_and(|(first, last)| !(first..=last).contains(&tip)) {
            return Err(Fault::Never("The invoice is too old. Nothing was paid.".into()));
        }
        if self.nodes.no_route > 0 {
            self.nodes.no_route -= 1;
            return Ok(PaymentState::Failed { reason: "No route was found.".into() });
        }
        self.nodes.sent.push((who, order.hash, order.amount));
        self.nodes.htlcs.insert(order.hash, (who, order.amount, Htlc::Held));
        let cltv = self.side(who).keys.read_invoice(&order.invoice).map(|i| i.min_final_cltv);
        let held = cltv.ok().filter(|cltv| *cltv > 48).map(|cltv| tip + 1 + cltv as u32 - 39);
        if let Some(deadline) = held {
            self.nodes.deadlines.insert(order.hash, deadline);
        }
        let (hash, amount, deadline) = (order.hash, order.amount, Some(held.unwrap_or(1000)));
        let event = NodeEvent::Claimable { hash, amount, deadline };
        self.side_mut(who.other()).queue.push_back(event);
        Ok(PaymentState::InFlight)
    }

    fn claim(&mut self, who: Who, hash: &PaymentHash, key: &Preimage) {
        if self.nodes.claims_lost {
            return;
        }
        let Some((payer, amount, htlc)) = self.nodes.htlcs.get_mut(hash) else { return };
        if *htlc != Htlc::Held || key.hash() != *hash {
            return;
        }
        *htlc = Htlc::Paid(*key);
        let (payer, amount) = (*payer, *amount);
        self.nodes.earned[who.at()] += i128::from(amount.get());
        self.nodes.earned[payer.at()] -= i128::from(amount.get());
        let (hash, preimage) = (*hash, *key);
        self.side_mut(who).queue.push_back(NodeEvent::Received { hash, amount });
        let paid = NodeEvent::Paid { hash, preimage, fee: sats(1) };
        self.side_mut(payer).queue.push_back(paid);
    }

    /// What the payee's channels show.
    pub(crate) fn holding(&self, hash: &PaymentHash) -> Option<Holding> {
        let (_, amount, htlc) = self.nodes.htlcs.get(hash)?;
        (*htlc == Htlc::Held).then_some(Holding {
            amount: *amount,
            deadline: self.nodes.deadlines[hash],
            confirmations: self.nodes.confirmations,
        })
    }

    /// Blocks are found up to this height; these people's nodes see the last of them.
    pub(crate) fn blocks(&mut self, to: u32, seen_by: &[Who]) {
        self.nodes.height = to;
        let dead = |(hash, at): (&PaymentHash, &u32)| (*at <= to).then_some(*hash);
        let dead: Vec<_> = self.nodes.deadlines.iter().filter_map(dead).collect();
        for hash in dead {
            self.fail(&hash);
        }
        for who in seen_by {
            let _ = self.core_mut(*who).height(to);
            self.restart_if_dead(*who);
        }
    }

    pub(crate) fn fail(&mut self, hash: &PaymentHash) {
        let Some((payer, _, htlc)) = self.nodes.htlcs.get_mut(hash) else { return };
        if *htlc == Htlc::Held {
            *htlc = Htlc::Failed;
            let (payer, reason) = (*payer, "The payee sent it back.".into());
            self.side_mut(payer).queue.push_back(NodeEvent::Failed { hash: *hash, reason });
        }
    }

    // ------------------------------------------------------------ effects

    /// Runs one effect by hand.
    pub(crate) fn perform(&mut self, who: Who, row: &EffectRow, effect: &Effect) -> Ran {
        if let Effect::First { record, nonce, to, relays, pow } = effect {
            let keys = self.side(who).keys.clone();
            let event = keys.wrap(nonce, record, to, *pow, self.now()).unwrap();
            let (event, id, relays) = (event.json, event.id, relays.clone());
            return Ran::Wrapped(Effect::Publish { event, id, relays });
        }
        Ran::Outcome(self.outcome(who, row, effect))
    }

    fn terms(&self, who: Who, job: &Job, delivery: u32) -> SealTerms {
        let (nonce, peer, j) = job.channel().unwrap();
        let channel = Channel { nonce, peer, job: j };
        let shared = self.side(who).keys.shared_secret(&channel);
        SealTerms { log: job.id, job: j, delivery, terms: job.terms().clone(), shared }
    }

    fn sealed_at(&self, who: Who, job: &Job) -> Result<SealedAt, Fault> {
        let attempt = job.attempt.as_ref().ok_or_else(|| Fault::Never("no delivery".into()))?;
        let delivery = attempt.delivery().ok_or_else(|| Fault::Never("no delivery".into()))?;
        Ok(SealedAt {
            terms: self.terms(who, job, attempt.number),
            manifest: delivery.manifest.clone(),
            blob: attempt.blob.clone().ok_or_else(|| later("no blob"))?,
            vector: attempt.vector.clone().ok_or_else(|| later("no vector"))?,
        })
    }

    fn outcome(&mut self, who: Who, row: &EffectRow, effect: &Effect) -> Result<Outcome, Fault> {
        let job = self.core(who).job(&row.log).cloned();
        let files = self.side(who).files.clone();
        let keys = self.side(who).keys.clone();
        match effect {
            Effect::First { .. } => Err(Fault::Never("wrapped elsewhere".into())),
            Effect::Publish { event, .. } => {
                self.events.push(relayed(event));
                Ok(Outcome::Done)
            }
            Effect::Fetch { file, purpose, .. } => {
                let me = self.side(who).endpoint;
                let grants = self.core(who.other()).grants();
                let grant = grants.into_iter().find(|g| g.blob == file.blob && g.to == me);
                let grant = grant.ok_or_else(|| later("not served"))?;
                let path = files.place(&row.log, *purpose, file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::copy(&grant.path, &path).map_err(|e| later(&e.to_string()))?;
                Ok(Outcome::Fetched { blob: file.blob, path })
            }
            Effect::Seal { number, source } => {
                let job = job.unwrap();
                let nonce = job.attempt.as_ref().and_then(|a| a.nonce);
                let nonce = nonce.ok_or_else(|| Fault::Never("no nonce".into()))?;
                let terms = self.terms(who, &job, *number);
                let count = terms.terms.tranches;
                let sealing: Vec<_> = (0..count).map(|t| keys.tranche_key(&nonce, t)).collect();
                let hashes = sealing.iter().map(Preimage::hash).collect();
                let escrow = job.terms().mode == Mode::Escrow;
                let given = if escrow { sealing.clone() } else { Vec::new() };
                let order = SealOrder { terms, source: source.clone(), nonce, keys: sealing };
                let sealed = self.rt.block_on(files.seal(&order))?;
                Ok(Outcome::Sealed {
                    manifest: Box::new(sealed.manifest),
                    hashes,
                    blob: sealed.blob,
                    vector: sealed.vector,
                    vector_size: sealed.vector_size,
                    keys: given,
                })
            }
            Effect::Open { tranche } => {
                let job = job.unwrap();
                let at = self.sealed_at(who, &job)?;
                let attempt = job.attempt.as_ref().unwrap();
                let given = attempt.delivery().unwrap().keys.first().copied();
                let key = attempt.tranches[*tranche as usize].key.or(given).unwrap();
                let name = attempt.delivery().unwrap().name.clone();
                match self.rt.block_on(files.open(&at, *tranche, &key, &name))? {
                    OpenedTranche::Right { path, digest } => Ok(Outcome::Opened { path, digest }),
                    OpenedTranche::Wrong { chunk } => Ok(Outcome::Mismatch { chunk }),
                }
            }
            Effect::Prove { tranche, chunk } => {
                let job = job.unwrap();
                let at = self.sealed_at(who, &job)?;
                let attempt = job.attempt.as_ref().unwrap();
                let given = attempt.delivery().unwrap().keys.first().copied();
                let key = attempt.tranches[*tranche as usize].key.or(given).unwrap();
                let record = attempt.record.as_ref().unwrap();
                let proof =
                    files.prove(&at, *tranche, &key, *chunk, &job.worker.event, &record.event);
                let path = self.rt.block_on(proof)?;
                Ok(Outcome::Proven { path })
            }
            Effect::Accuse { path } => {
                let proof = std::fs::read_to_string(path).unwrap();
                let event = keys.proof_event(&proof, self.now())?;
                self.events.push(relayed(&event.json));
                Ok(Outcome::Done)
            }
            Effect::Bill { order, .. } => {
                let billed = self.bill(who, order)?;
                let invoice = keys.read_invoice(&billed.invoice).unwrap();
                Ok(Outcome::Billed { billed, invoice, height: 0 })
            }
            Effect::Pay { order, .. } => {
                let state = self.pay(who, order)?;
                Ok(Outcome::Payment { hash: order.hash, state })
            }
            Effect::Claim { tranche, hash, .. } => {
                let key = claim_key(&job.unwrap(), *tranche, &*keys);
                self.claim(who, hash, &key.ok_or_else(|| Fault::Never("no key".into()))?);
                Ok(Outcome::Done)
            }
            Effect::Look { hash } => {
                Ok(Outcome::Looked { hash: *hash, holding: self.holding(hash) })
            }
            Effect::Fail { hash } => {
                self.fail(hash);
                Ok(Outcome::Done)
            }
            // Whatever names the delivery that is inspected.
            effect if effect.kind() == "inspect" => {
                let at = self.sealed_at(who, &job.unwrap())?;
                match self.rt.block_on(files.inspect(&at))? {
                    Inspection::Sound => Ok(Outcome::Inspected),
                    Inspection::Refused { code, sentence } => {
                        Ok(Outcome::Refused { code, sentence })
                    }
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// Runs one leased effect and tells the core.
    pub(crate) fn run(&mut self, who: Who, row: &EffectRow, effect: &Effect) {
        match self.perform(who, row, effect) {
            Ran::Wrapped(next) => {
                let _ = self.core_mut(who).wrapped(row, &next);
            }
            Ran::Outcome(outcome) => {
                for _ in 0..=usize::from(self.twice && outcome.is_ok()) {
                    let _ = self.core_mut(who).done(row, effect, outcome.clone());
                }
                if let Ok(outcome) = outcome {
                    self.side_mut(who).ran.push((row.clone(), effect.clone(), outcome));
                }
            }
        }
    }

    /// Leases what is due and runs it; what this side is too lazy for is kept.
    pub(crate) fn effects(&mut self, who: Who) -> bool {
        let Ok(leased) = self.core_mut(who).lease(Span::DAY, 64) else { return false };
        let mut any = false;
        for (row, effect) in leased {
            if self.side(who).lazy.contains(&effect.kind()) {
                self.side_mut(who).kept.push((row, effect));
                continue;
            }
            any = true;
            self.run(who, &row, &effect);
            if self.restart_if_dead(who) {
                break;
            }
        }
        any
    }

    /// Runs what was kept.
    pub(crate) fn wake(&mut self, who: Who) {
        self.side_mut(who).lazy.clear();
        for (row, effect) in std::mem::take(&mut self.side_mut(who).kept) {
            self.run(who, &row, &effect);
        }
    }

    pub(crate) fn listen(&mut self, who: Who) -> bool {
        let mut any = false;
        while !self.side(who).deaf && self.side(who).heard < self.events.len() {
            let event = self.events[self.side(who).heard].clone();
            any = true;
            let mut heard = self.core_mut(who).hear(&event).is_ok();
            if self.twice {
                heard &= self.core_mut(who).hear(&event).is_ok();
            }
            if !self.restart_if_dead(who) && heard {
                self.side_mut(who).heard += 1;
            }
        }
        any
    }

    pub(crate) fn node_events(&mut self, who: Who) -> bool {
        let mut any = false;
        while let Some(event) = self.side(who).queue.front().cloned() {
            any = true;
            let mut told = self.core_mut(who).node(&event);
            if self.twice && told.is_ok() {
                told = self.core_mut(who).node(&event);
            }
            if self.restart_if_dead(who) {
                continue;
            }
            if let Some(stray) = told.unwrap() {
                self.fail(&stray);
            }
            self.side_mut(who).said.push(event);
            self.side_mut(who).queue.pop_front();
        }
        any
    }

    /// Until nothing happens by itself any more.
    pub(crate) fn quiet(&mut self) {
        for _ in 0..400 {
            let mut any = false;
            for who in [Requester, Worker] {
                let _ = self.core_mut(who).tick();
                any |= self.restart_if_dead(who);
                any |= self.effects(who);
                any |= self.listen(who);
                any |= self.node_events(who);
            }
            if !any {
                return;
            }
        }
        panic!("it never becomes quiet");
    }

    // ------------------------------------------------------------ people

    pub(crate) fn draft(&self) -> GigDraft {
        GigDraft {
            title: "Clean a list".into(),
            summary: String::new(),
            content: "Sort it.".into(),
            tags: vec!["csv".into()],
            work: Work::File,
            modes: vec![Mode::Sealed, Mode::Direct],
            slots: 1,
            price: sats(21_000),
            max_bytes: 1 << 20,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
            escrow: None,
            pow: 0,
            expires_at: self.now().after(Span::DAY.times(7)),
        }
    }

    /// A file of this many bytes that repeat nowhere.
    pub(crate) fn write(&self, name: &str, len: usize) -> PathBuf {
        let mut body = vec![0; len];
        blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut body);
        let path = self.dir.path().join(name);
        std::fs::write(&path, body).unwrap();
        path
    }

    pub(crate) fn posted(&mut self, change: impl FnOnce(&mut GigDraft)) -> EventId {
        let mut draft = self.draft();
        change(&mut draft);
        let gig = self.core_mut(Requester).post(&draft, Vec::new()).unwrap();
        self.quiet();
        gig
    }

    pub(crate) fn bid(&mut self, wish: Wish) -> BidId {
        let gig = self.posted(|_| {});
        let id = self.core_mut(Worker).bid(&gig, wish, "I can.").unwrap();
        self.quiet();
        id
    }

    pub(crate) fn awarded(&mut self, wish: Wish) -> BidId {
        let id = self.bid(wish);
        self.core_mut(Requester).award(&id).unwrap();
        self.quiet();
        id
    }

    pub(crate) fn deliver(&mut self, name: &str, len: usize) -> Result<(), Trouble> {
        let id = self.id();
        self.deliver_to(&id, name, len)
    }

    /// Delivers in one job of several, and waits until it is inspected.
    pub(crate) fn deliver_in(&mut self, id: &BidId, name: &str, len: usize) {
        self.deliver_to(id, name, len).unwrap();
        self.quiet();
        assert!(self.core(Requester).job(id).unwrap().attempt.as_ref().unwrap().inspected);
    }

    fn deliver_to(&mut self, id: &BidId, name: &str, len: usize) -> Result<(), Trouble> {
        let (id, source) = (*id, self.write(name, len));
        let files = self.side(Worker).files.clone();
        let (file, source) = self.rt.block_on(files.adopt(&id, &source, u64::MAX)).unwrap();
        let nonce = self.core(Worker).nonce();
        let (size, name, message) = (file.size, file.name.0, "Here.".into());
        self.core_mut(Worker).ask(&id, Ask::Deliver { source, size, name, message, nonce })
    }

    /// Up to a delivery that the requester holds and has inspected.
    pub(crate) fn delivered(&mut self, wish: Wish) -> BidId {
        let id = self.awarded(wish);
        self.deliver("work.bin", 50_000).unwrap();
        self.quiet();
        assert!(self.job(Requester).attempt.unwrap().inspected);
        id
    }

    pub(crate) fn ask(&mut self, who: Who, ask: Ask) -> Result<(), Trouble> {
        let id = self.id();
        self.core_mut(who).ask(&id, ask)
    }

    pub(crate) fn accept(&mut self) -> Result<(), Trouble> {
        self.ask(Requester, Ask::Accept { max_fee: sats(100) })
    }

    pub(crate) fn reject(&mut self) -> Result<(), Trouble> {
        self.ask(Requester, Ask::Reject { reason: "No.".into() })
    }

    pub(crate) fn cancel(&mut self, who: Who) -> Result<(), Trouble> {
        self.ask(who, Ask::Cancel { reason: "Stop.".into() })
    }

    // ------------------------------------------------------------ hostile words

    /// The award, as the requester signed it.
    pub(crate) fn first_of(&self, who: Who) -> Body {
        let rows = self.core(who).store().log(&self.id()).unwrap();
        let award = rows.iter().find(|row| row.kind == "awarded").unwrap();
        match serde_json::from_str(&award.body).unwrap() {
            Fact::Awarded { record, .. } => record.draft.body,
            other => panic!("{other:?}"),
        }
    }

    /// The channel as this side derives it.
    pub(crate) fn channel(&self, who: Who) -> Channel {
        let (nonce, peer, job) = self.job(who).channel().unwrap();
        Channel { nonce, peer, job }
    }

    /// A channel event of this side that its own engine never made: signed by its own session key, in
    /// order, after whatever the other side has heard from it.
    pub(crate) fn forge(
        &self,
        who: Who,
        body: Body,
        bend: impl FnOnce(&mut Draft),
    ) -> (Record, RelayEvent) {
        let theirs = self.job(who.other()).theirs;
        let mut draft = Draft {
            job: self.job(who).job,
            seq: theirs.next,
            prev: theirs.last.map(|r| r.id),
            seen: self.job(who.other()).ours.last.map(|r| r.id),
            at: self.now(),
            body,
        };
        bend(&mut draft);
        let channel = self.channel(who);
        let keys = &self.side(who).keys;
        let record = keys.sign(&channel.nonce, &draft).unwrap();
        let event = keys.post(&channel, &record, self.now()).unwrap();
        (record, relayed(&event.json))
    }

    /// The same in one job of several.
    pub(crate) fn forge_in(&self, id: &BidId, who: Who, body: Body) -> RelayEvent {
        let (mine, other) =
            (self.core(who).job(id).unwrap(), self.core(who.other()).job(id).unwrap());
        let draft = Draft {
            job: mine.job,
            seq: other.theirs.next,
            prev: other.theirs.last.as_ref().map(|r| r.id),
            seen: other.ours.last.as_ref().map(|r| r.id),
            at: self.now(),
            body,
        };
        let (nonce, peer, job) = mine.channel().unwrap();
        let keys = &self.side(who).keys;
        let record = keys.sign(&nonce, &draft).unwrap();
        let event = keys.post(&Channel { nonce, peer, job }, &record, self.now()).unwrap();
        relayed(&event.json)
    }

    /// Says it to the other side; what became of it there.
    pub(crate) fn say(&mut self, who: Who, body: Body) -> Taken {
        let (_, event) = self.forge(who, body, |_| {});
        self.hear(who.other(), &event)
    }

    pub(crate) fn hear(&mut self, who: Who, event: &RelayEvent) -> Taken {
        self.core_mut(who).hear(event).unwrap()
    }
}

/// What an invoice says, to be bent.
pub(crate) struct Bend {
    pub(crate) currency: Currency,
    pub(crate) node: SecretKey,
    pub(crate) cltv: u64,
    pub(crate) at: Time,
    pub(crate) order: BillOrder,
    pub(crate) any_amount: bool,
}

/// An event as a relay hands it on.
pub(crate) fn relayed(json: &str) -> RelayEvent {
    let event: serde_json::Value = serde_json::from_str(json).unwrap();
    let text = |name: &str| event[name].as_str().unwrap().to_owned();
    let mut to = event["tags"].as_array().unwrap().iter().filter(|t| t[0] == "p");
    let to = to.next().and_then(|t| t[1].as_str().unwrap().parse().ok());
    RelayEvent {
        relay: "wss://relay.example".into(),
        id: text("id").parse().unwrap(),
        kind: u16::try_from(event["kind"].as_u64().unwrap()).unwrap(),
        author: text("pubkey").parse().unwrap(),
        to,
        at: Time(event["created_at"].as_u64().unwrap()),
        json: json.to_owned(),
    }
}

pub(crate) fn code(taken: &Taken) -> &str {
    match taken {
        Taken::New => "new",
        Taken::Nothing => "nothing",
        Taken::Refused(why) => &why.code,
    }
}

pub(crate) fn refused(trouble: Result<(), Trouble>) -> String {
    match trouble {
        Ok(()) => "done".into(),
        Err(Trouble::Refused(why)) => why.code,
        Err(other) => panic!("{other}"),
    }
}

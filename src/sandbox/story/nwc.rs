//! `nwc`: a requester whose own node has nothing pays through a wallet elsewhere (Nostr Wallet Connect). The
//! proof that the wallet gives is the key that opens the delivery.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::{Command, Lightning as _, PaymentState};
use crate::keys::SystemClock;
use crate::market::{GigDraft, Msat, Network, Phase, Query, Wish};
use crate::sandbox::story::first_job::{account, sha256_file, sha256_hex, view};
use crate::sandbox::story::{FileSummary, PartySummary, PaymentSummary, Play, Story, Teller, gig};
use crate::sandbox::wallet::WalletService;
use crate::sandbox::world::{Party, World, WorldSetup, sats};
use crate::sandbox::{Relay, RelayConfig};

/// What it shows.
pub(super) const STORY: Story = Story {
    name: "nwc",
    about: "a requester whose own node has no channel pays through a wallet elsewhere; the wallet's proof of payment opens the delivery",
    breaks: &[
        ("wallet-silent", "the wallet does not pay and says nothing"),
        ("lost-answer", "the wallet pays, and its answer is lost on the way"),
        ("wrong-proof", "the wallet pays, and gives a proof of something else"),
        ("empty-wallet", "the wallet has nothing to pay with"),
    ],
};

const PRICE_SATS: u64 = 30_000;

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    file: Option<FileSummary>,
    fee: Msat,
    lsp_fee: Msat,
}

/// Plays it. Claims are kept even where a step fails: what did not happen is then seen as missing.
pub(super) async fn tell(play: &Play, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let way = play.break_way.as_deref();
    let setup = WorldSetup { dir: play.dir.clone(), relay: play.relay.clone(), seed: play.seed };
    let mut world = World::start(setup).await?;
    let treasury = world.party("treasury", None, |ports| ports).await?;
    // A relay for gigs takes no talk between a wallet and its clients: that has its own.
    let config =
        RelayConfig { kinds: Default::default(), ..RelayConfig::new(Arc::new(SystemClock)) };
    let line = Relay::start(config).await?;
    let wallet = WalletService::start(treasury.app.node().clone(), &line.url()).await?;
    teller
        .step("a chain, a relay and an LSP are up, and somewhere a wallet that serves one client");
    let requester = world.party_paid_by("requester", wallet.uri()).await?;
    let worker = world.party("worker", None, |ports| ports).await?;
    teller.step("a requester and a worker have started; the requester's own node has nothing");
    let before = [requester.purse().await?, worker.purse().await?, world.lsp_purse().await?];
    let treasury_before = treasury.purse().await?;
    let mood = wallet.mood();
    mood.silent.store(way == Some("wallet-silent"), Ordering::SeqCst);
    mood.loses_answers.store(way == Some("lost-answer"), Ordering::SeqCst);
    mood.wrong_proof.store(way == Some("wrong-proof"), Ordering::SeqCst);

    let price = sats(play.price.unwrap_or(PRICE_SATS))?;
    let mut course = Course { way, price, seen: Seen::default() };
    let told = course.run(&mut world, &treasury, (&requester, &worker), play, teller).await;
    let end = told.map_or_else(|why| format!("{why:#}"), |()| "settled".to_owned());
    teller.claim("the job runs to its end", "settled", end);
    let seen = course.seen;
    let parties = [&requester, &worker, &treasury];
    world.still(&parties).await?;
    world.mine(6, &parties).await?;
    account(teller, &world, &parties[..2], before, (seen.lsp_fee, seen.fee)).await?;
    let treasury_after = treasury.purse().await?;
    teller.summary.diff_msat +=
        i128::from(treasury_after.total()) - i128::from(treasury_before.total());
    teller.summary.parties.insert(
        "treasury".into(),
        PartySummary {
            npub: treasury.app.npub(),
            node_id: treasury.app.node().node().to_string(),
            pid: std::process::id(),
            data_dir: treasury.dir.clone(),
            before_msat: treasury_before,
            after_msat: treasury_after,
        },
    );

    let (times, opens) = payments(&requester, &treasury, teller).await?;
    teller.claim("the wallet paid, once", 1, times);
    teller.claim("the wallet was asked to pay, once", 1, mood.asked_to_pay.load(Ordering::SeqCst));
    teller.claim("its own answer brought the proof", 1, mood.answered.load(Ordering::SeqCst));
    teller.claim("the proof hashes to the payment hash", Some(true), opens);
    let own = requester.purse().await?.total();
    teller.claim(
        "the requester's own node had nothing and has nothing",
        (0, 0),
        (before[0].total(), own),
    );
    let got = worker.purse().await?.channels;
    teller.claim(
        "the worker has the price less the LSP's fee",
        price.get() - seen.lsp_fee.get().min(price.get()),
        got,
    );
    if let Some(file) = &seen.file {
        let sent = sha256_file(&file.sent).await.unwrap_or_default();
        teller.claim("the file arrived as it was sent", sent, &file.sha256);
    }
    let diff = teller.summary.diff_msat;
    teller.claim("every satoshi is accounted for", 0, i64::try_from(diff).unwrap_or(i64::MAX));
    teller.summary.files.extend(seen.file);

    requester.app.stop().await?;
    worker.app.stop().await?;
    drop(wallet);
    treasury.app.stop().await?;
    line.stop();
    world.stop().await?;
    teller.step("everything has stopped in order");
    Ok(())
}

struct Course<'a> {
    way: Option<&'a str>,
    price: Msat,
    seen: Seen,
}

impl Course<'_> {
    fn patience(&self) -> Duration {
        Duration::from_secs(match self.way {
            None => 60,
            // Found by its hash once the answer did not come.
            Some("lost-answer") => 90,
            Some(_) => 12,
        })
    }

    async fn run(
        &mut self,
        world: &mut World,
        treasury: &Party,
        (requester, worker): (&Party, &Party),
        play: &Play,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let patience = self.patience();
        if self.way != Some("empty-wallet") {
            world.open_channel(treasury, (self.price.whole_sats() * 4).max(1_000_000)).await?;
        }
        let spendable = |s: &crate::engine::Snapshot| {
            s.node.as_ref().filter(|n| n.balances.lightning_spendable > Msat::ZERO).map(|_| ())
        };
        requester.wait("the wallet's balance", patience, spendable).await?;
        teller.step("the wallet says over its relay what it can pay");
        worker
            .wait("the LSP's terms", patience, |s| s.node.as_ref()?.least_first.map(|_| ()))
            .await?;
        let draft = GigDraft {
            content: "Ten rivers, one a line.".into(),
            tags: vec!["rivers".into()],
            ..gig("Write down ten rivers", self.price)
        };
        let post = Command::Post { draft, inputs: Vec::new(), key: None };
        requester.app.handle().ask(post).await?;
        let mut query = Query::everything(Network::Regtest);
        query.words = vec!["rivers".into()];
        let looking = async {
            loop {
                if let Some(gig) = worker.app.handle().find(query.clone()).await?.gigs.first() {
                    return anyhow::Ok(gig.id);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let gig = tokio::time::timeout(patience, looking).await??;
        let bid = Command::Bid { gig, wish: Wish::default(), message: String::new() };
        let job = worker.app.handle().ask(bid).await?.log;
        requester.wait("the bid", patience, |s| view(s, job).map(|_| ())).await?;
        requester.app.handle().ask(Command::Award { job }).await?;
        worker
            .wait("the award", patience, |s| {
                view(s, job).filter(|v| v.phase == Phase::Working).map(|_| ())
            })
            .await?;
        teller.step("a gig is posted, bid on and awarded");
        let file = match &play.file {
            Some(file) => file.clone(),
            None => {
                let file = world.dir().join("rivers.txt");
                let rivers =
                    "Nile\nAmazon\nYangtze\nOb\nParana\nCongo\nAmur\nLena\nMekong\nNiger\n";
                tokio::fs::write(&file, rivers).await?;
                file
            }
        };
        let deliver = Command::Deliver { job, file: file.clone(), message: String::new() };
        worker.app.handle().ask(deliver).await?;
        requester
            .wait("a sound delivery", patience, |s| {
                view(s, job)?.delivery.as_ref().filter(|d| d.inspected).map(|_| ())
            })
            .await?;
        teller.step("the requester holds all the ciphertext, checked, and no key");
        let max_fee = self.price.ppm(10_000);
        requester.app.handle().ask(Command::Accept { job, max_fee }).await?;
        let (output, fee) = requester
            .wait("the opened file", patience, |s| {
                let view = view(s, job).filter(|v| v.phase == Phase::Settled)?;
                let delivery = view.delivery.as_ref()?;
                Some((delivery.output.clone()?, delivery.fee))
            })
            .await?;
        teller.step("the wallet has paid, and its proof has opened the file");
        self.seen.fee = fee;
        self.seen.lsp_fee = worker
            .wait("its money", patience, |s| {
                let view = view(s, job).filter(|v| v.phase == Phase::Settled)?;
                view.delivery.as_ref().map(|d| d.lsp_fee)
            })
            .await?;
        self.seen.file = Some(FileSummary {
            sent: file,
            sha256: sha256_file(&output).await?,
            bytes: tokio::fs::metadata(&output).await?.len(),
            received: output,
        });
        Ok(())
    }
}

/// How often the wallet's node paid for what the requester owes, and whether every proof is one.
async fn payments(
    requester: &Party,
    treasury: &Party,
    teller: &mut Teller<'_>,
) -> anyhow::Result<(usize, Option<bool>)> {
    let (mut times, mut opens) = (0, None);
    for line in requester.app.handle().payments().await? {
        let (preimage, state) = match treasury.app.node().lookup(&line.hash).await? {
            PaymentState::Paid { preimage, .. } => {
                times += 1;
                (Some(hex::encode(preimage.expose())), "paid")
            }
            PaymentState::InFlight => (None, "inflight"),
            PaymentState::Failed { .. } => (None, "failed"),
            PaymentState::Unknown => (None, "unknown"),
        };
        if let Some(preimage) = &preimage {
            opens = Some(sha256_hex(preimage) == line.hash.to_string());
        }
        teller.summary.payments.push(PaymentSummary {
            hash: line.hash.to_string(),
            preimage,
            amount_msat: line.amount.get(),
            from: "treasury".into(),
            to: "worker".into(),
            mode: "sealed".into(),
            state: state.into(),
        });
    }
    Ok((times, opens))
}

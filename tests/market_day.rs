//! A day in the living market, in a minute: people work for each other and a newcomer earns its first
//! coins, all on real parts.

#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command as Program, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use earnest::app::{self, App};
use earnest::engine::{Command, Handle, JobView, Snapshot};
use earnest::market::{
    BidId, Deadlines, Gig, GigDraft, Mode, Msat, Network, Phase, Quality, Query, Role, Span, Wish,
    Work,
};
use earnest::sandbox::{Happening, Market, MarketSetup, Pace, Resident, What};

/// For one thing to happen, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything that happened, kept while the test looks elsewhere.
struct Diary(tokio::sync::broadcast::Receiver<Happening>, Vec<Happening>);

impl Diary {
    /// Waits until what has happened so far is enough.
    async fn until(&mut self, what: &str, enough: impl Fn(&[Happening]) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !enough(&self.1) {
                self.1.push(self.0.recv().await.expect("the market lives"));
            }
        });
        if waited.await.is_err() {
            let lines: Vec<_> = self.1.iter().map(|h| h.text.as_str()).collect();
            panic!("in vain for {what}:\n{}", lines.join("\n"));
        }
    }
}

/// Waits until the newcomer's snapshot shows something.
async fn see<T>(
    market: &Market,
    handle: &Handle,
    what: &str,
    look: impl Fn(&Snapshot) -> Option<T>,
) -> T {
    let mut watch = handle.watch();
    let seen = async {
        loop {
            if let Some(found) = look(&watch.borrow_and_update().clone()) {
                return found;
            }
            watch.changed().await.expect("the newcomer's engine runs");
        }
    };
    if let Ok(found) = tokio::time::timeout(PATIENCE, seen).await {
        return found;
    }
    let mut told = book_of("the newcomer", &handle.watch().borrow());
    for resident in market.residents().await {
        told += &book_of(resident.name, &resident.handle.watch().borrow());
    }
    panic!("in vain for {what}\n{told}")
}

/// What somebody sees of the market, for whoever must find out why nothing happened.
fn book_of(name: &str, shown: &Snapshot) -> String {
    let mut told = format!("{name}: reserved {}, node {:?}\n", shown.reserved, shown.node);
    for post in &shown.posts {
        let (gig, bids) = (&post.gig, post.bids);
        told +=
            &format!("  gig {} {:?} bids {bids} awarded {}", gig.title, gig.status, post.awarded);
        told += &format!(" waiting {:?}\n", post.pending);
    }
    for job in shown.jobs.values() {
        let phase = (job.role, job.phase, &job.reason, &job.pending);
        told += &format!("  job {} {} {phase:?}\n", job.title, job.price);
    }
    told
}

fn job(snapshot: &Snapshot, id: BidId) -> Option<Arc<JobView>> {
    snapshot.jobs.get(&id).cloned()
}

/// The first gig in the newcomer's book that is to be done by hand and read before it is paid.
async fn something_to_sort(handle: &Handle) -> Gig {
    let looking = async {
        loop {
            let words = vec!["sort".to_owned(), "words".to_owned()];
            let tags = vec!["by-hand".to_owned()];
            let query = Query { words, tags, ..Query::everything(Network::Regtest) };
            if let Some(gig) = handle.find(query).await.unwrap().gigs.into_iter().next() {
                return gig;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("a gig for a newcomer")
}

/// From a bid to a wrong delivery, to a right one, to the pay: by the newcomer's handle alone.
async fn first_job(market: &Market, handle: &Handle, desk: PathBuf) -> (BidId, u64) {
    see(market, handle, "the LSP's terms", |s| s.node.as_ref()?.least_first).await;
    let gig = something_to_sort(handle).await;
    let wish = Wish { mode: Some(Mode::Direct), ..Wish::default() };
    let message = "I am new here.".to_owned();
    let id = handle.ask(Command::Bid { gig: gig.id, wish, message }).await.unwrap().log;
    let input = see(market, handle, "the award and its file", |s| {
        job(s, id)?.materials.first()?.path.clone()
    })
    .await;
    let words = std::fs::read_to_string(input).unwrap();
    let file = desk.join("sorted.txt");
    let deliver = || Command::Deliver { job: id, file: file.clone(), message: String::new() };

    std::fs::write(&file, &words).unwrap();
    handle.ask(deliver()).await.unwrap();
    let why = see(market, handle, "a rejection with a reason", |s| {
        let view = job(s, id)?;
        view.reason.clone().filter(|_| view.phase == Phase::Working)
    })
    .await;
    assert!(why.contains("comes before it in the alphabet"), "{why}");

    let mut sorted: Vec<&str> = words.lines().collect();
    sorted.sort_unstable();
    std::fs::write(&file, sorted.join("\n")).unwrap();
    handle.ask(deliver()).await.unwrap();
    let received = see(market, handle, "its pay", |s| {
        let view = job(s, id).filter(|view| view.phase == Phase::Settled)?;
        Some(view.delivery.as_ref()?.received)
    })
    .await;
    assert_eq!(received.get(), gig.offer.price.get() - gig.offer.price.ppm(10_000).get());
    (id, received.get())
}

/// The newcomer asks for something itself, and pays for what comes.
async fn first_gig(market: &Market, handle: &Handle, desk: PathBuf) -> Arc<JobView> {
    let notes = desk.join("notes.txt");
    std::fs::write(&notes, "# Notes   \n\n\n\nBuy rye.\t\n").unwrap();
    let draft = GigDraft {
        milestones: Vec::new(),
        quality: Quality::default(),
        title: "Have a look at my notes".into(),
        summary: String::new(),
        content: "Make them look better.".into(),
        tags: Vec::new(),
        work: Work::File,
        modes: vec![Mode::Direct],
        slots: 1,
        price: Msat::sats(5_000).unwrap(),
        max_bytes: 1 << 20,
        deadlines: Deadlines { deliver: Span::HOUR, pay: Span::HOUR },
        escrow: None,
        pow: 0,
        expires_at: app::now().after(Span::HOUR),
    };
    handle.ask(Command::Post { draft, inputs: vec![notes], key: None }).await.unwrap();
    let id = see(market, handle, "a bid on the newcomer's gig", |s| {
        let bid = |v: &&Arc<JobView>| v.role == Role::Requester && v.phase == Phase::Bid;
        s.jobs.values().find(bid).map(|v| v.id)
    })
    .await;
    handle.ask(Command::Award { job: id }).await.unwrap();
    let output = see(market, handle, "a delivery that can be read before it is paid", |s| {
        job(s, id)?.delivery.as_ref()?.output.clone()
    })
    .await;
    assert_eq!(std::fs::read_to_string(output).unwrap(), "# Notes\n\nBuy rye.\n");
    let max_fee = Msat::sats(100).unwrap();
    handle.ask(Command::Accept { job: id, max_fee }).await.unwrap();
    see(market, handle, "the end of the newcomer's own gig", |s| {
        job(s, id).filter(|view| view.phase == Phase::Settled)
    })
    .await
}

/// Jobs that residents have paid each other, as their own nodes tell it, by payer and worker.
async fn paid_between(residents: &[Resident]) -> BTreeMap<(&'static str, &'static str), usize> {
    let mut paid = BTreeMap::new();
    for payer in residents {
        let rows = payer.handle.payments().await.unwrap();
        let snapshot = payer.handle.watch().borrow().clone();
        for row in rows.iter().filter(|row| row.state == "paid") {
            let peer = app::npub(&snapshot.jobs[&row.log].peer);
            if let Some(worker) = residents.iter().find(|r| r.npub == peer) {
                *paid.entry((payer.name, worker.name)).or_default() += 1;
            }
        }
    }
    paid
}

async fn open(dir: PathBuf) -> Market {
    let pace = Pace::of(Duration::from_secs(2));
    let setup = MarketSetup { dir, seed: Some(21), relay: None, pace };
    Market::start(setup).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_work_for_each_other_and_a_newcomer_earns_a_first_coin() {
    let folder = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test measures itself")]
    let begun = Instant::now();
    let market = open(folder.path().join("market")).await;
    tell("chain, relay and LSP after", begun);
    let mut diary = Diary(market.happenings(), Vec::new());
    let newcomer = market.places().newcomer.clone();
    let setup = app::from_config(&newcomer.config().unwrap(), "a newcomer").unwrap();
    let guest = App::open(setup, newcomer.keys().unwrap()).await.unwrap();
    assert_eq!(guest.npub(), newcomer.npub);
    let before = guest.node().holdings().await.unwrap();
    assert_eq!(before.total().get(), 0, "a newcomer begins with nothing");
    something_to_sort(guest.handle()).await;
    tell("a gig for the newcomer after", begun);

    let (first, received) = first_job(&market, guest.handle(), folder.path().to_owned()).await;
    tell("the newcomer was paid after", begun);
    let gig = first_gig(&market, guest.handle(), folder.path().to_owned()).await;
    let spent = gig.price.get() + gig.delivery.as_ref().unwrap().fee.get();
    tell("the newcomer's own gig was done after", begun);
    diary
        .until("two jobs paid between residents, and a cheat", |all| {
            let name = |h: &Happening| Some((h.who.clone(), h.with.clone()?));
            let paid = all.iter().filter(|h| h.what == What::Paid);
            let pairs: BTreeSet<_> = paid
                .filter_map(name)
                .filter(|(who, with)| who != "Rufus" && with != "you")
                .collect();
            let authors: BTreeSet<_> =
                all.iter().filter(|h| h.what == What::Posted).map(|h| &h.who).collect();
            pairs.len() >= 2 && authors.len() >= 3 && all.iter().any(|h| h.what == What::Caught)
        })
        .await;
    tell("everything was seen after", begun);

    // The book of somebody who came from outside shows them all.
    let query = Query { all: true, limit: 200, ..Query::everything(Network::Regtest) };
    let page = guest.handle().find(query).await.unwrap();
    let authors: BTreeSet<_> = page.gigs.iter().map(|gig| gig.author).collect();
    assert!(authors.len() >= 3, "{} authors", authors.len());

    // The proof stands on its own, and names the one who sold a key that does not open.
    let caught = diary.1.iter().find(|h| h.what == What::Caught).unwrap();
    let proof = std::fs::read(caught.proof.as_ref().unwrap()).unwrap();
    let app::Judgement::Guilty { against, .. } = app::verify_proof(&proof).unwrap() else {
        panic!("the proof convicts nobody");
    };
    let residents = market.residents().await;
    let rufus = residents.iter().find(|r| r.name == "Rufus").unwrap();
    assert_eq!(app::read_npub(&rufus.npub).unwrap(), against);
    assert_eq!(caught.with.as_deref(), Some("Rufus"));

    assert!(market.rest(PATIENCE * 4).await, "what was begun comes to its end");
    // Real payments, by the nodes' own word; and nobody has a channel but with the LSP, so every one of
    // them was forwarded by it.
    let paid = paid_between(&residents).await;
    assert!(paid.len() >= 2, "{paid:?}");
    let lsp = market.places().served.lsp.split('@').next().unwrap().to_owned();
    for resident in &residents {
        for channel in resident.node.channels().await.unwrap() {
            assert_eq!(channel.peer.to_string(), lsp);
        }
    }
    let view = job(&guest.handle().watch().borrow(), first).unwrap();
    assert_eq!(view.phase, Phase::Settled);
    guest.node().sync().await.unwrap();
    let after = guest.node().holdings().await.unwrap();
    assert_eq!(after.total().get(), received - spent, "the newcomer has what it earned and kept");
    let account = market.account().await.unwrap();
    assert_eq!(account.diff(after.total().get()), 0, "{account:#?}");

    guest.stop().await.unwrap();
    let places = market.places().clone();
    market.stop().await.unwrap();
    tell("everything has stopped after", begun);

    // The next day: the same people, the same relay, and nobody has forgotten anything.
    let market = open(folder.path().join("market")).await;
    assert_eq!(market.places().newcomer.npub, newcomer.npub);
    assert_eq!(market.places().served.relay, places.served.relay);
    let mut diary = Diary(market.happenings(), Vec::new());
    diary.until("somebody to come back", |all| !all.is_empty()).await;
    let back = market.residents().await;
    assert_eq!(back[0].npub, residents[0].npub);
    assert!(!back[0].node.channels().await.unwrap().is_empty(), "its channel is there");
    market.stop().await.unwrap();
    tell("a second day has ended after", begun);
}

#[expect(clippy::disallowed_macros, reason = "cargo shows it when the test fails")]
fn tell(what: &str, since: Instant) {
    println!("{what} {} ms", since.elapsed().as_millis());
}

/// `earnest sandbox --serve --people`, and an ordinary earnest beside it.
#[test]
fn an_ordinary_earnest_owns_the_newcomers_place() {
    let folder = tempfile::tempdir().unwrap();
    let earnest = |line: &str| {
        let mut command = Program::new(env!("CARGO_BIN_EXE_earnest"));
        command.args(line.split(' ')).current_dir(folder.path()).env_clear();
        command.env("HOME", folder.path()).stdin(Stdio::null());
        command
    };
    let mut served = earnest("sandbox --serve --people --json --pace 2 --dir world")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(served.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let places: serde_json::Value = serde_json::from_str(&line).unwrap();
    let data = places["newcomer"]["data_dir"].as_str().unwrap().to_owned();
    for key in ["relay", "bitcoind", "lsp", "control"] {
        assert!(!places[key].is_null(), "{line}");
    }
    let gigs = (0..40).find_map(|_| {
        let asked = earnest(&format!("gigs #by-hand --json --data-dir {data}")).output().unwrap();
        let said = String::from_utf8(asked.stdout).unwrap();
        said.contains("by-hand").then_some(said)
    });
    let gigs = gigs.expect("a gig that a newcomer can do");
    assert!(gigs.contains("Wim, retired archivist"), "{gigs}");
    let mined = earnest("sandbox mine 1 --json --dir world").output().unwrap();
    assert!(mined.status.success(), "{mined:?}");
    let pid = served.id().to_string();
    assert!(Program::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(served.wait().unwrap().code(), Some(0));
}

//! The town: lets people in one after the other, gives each a channel from the faucet, and mines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::engine::{HandPayment, JobView, Ports, Wallet as _, WalletAnswer, WalletCommand};
use crate::lightning::Node;
use crate::market::{BidId, Msat, Phase, Role};
use crate::sandbox::market::{Account, Happening, Pace, Resident, What};
use crate::sandbox::people::{Character, Cheat, Mood, Person, ROSTER, Teller};
use crate::sandbox::world::{Party, Purse, World, now};

/// What everybody begins with, in a channel to the LSP.
const CHANNEL_SATS: u64 = 600_000;
/// What of it is on the LSP's side, so that as much less the LSP's reserve of a hundredth can be received:
/// just-in-time channels are for newcomers. A channel that is accepted carries a tenth of itself at once.
const RECEIVABLE_SATS: u64 = 50_000;
/// For the funding transaction and its change.
const BESIDE_SATS: u64 = 50_000;
/// Between two arrivals, so that a newcomer's own start is not slow.
const BETWEEN: Duration = Duration::from_millis(1_500);
/// How long a channel may take to open.
const OPENING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

struct Home {
    character: &'static Character,
    party: Arc<Party>,
    life: JoinHandle<()>,
}

/// Everything that a market is made of.
pub(super) struct Town {
    world: tokio::sync::Mutex<World>,
    homes: tokio::sync::Mutex<Vec<Home>>,
    teller: Teller,
    seed: u64,
    pace: Pace,
    mood: watch::Receiver<Mood>,
    /// Somebody's channel is being opened.
    arriving: AtomicBool,
}

impl Town {
    pub(super) fn new(
        world: World,
        newcomer: &str,
        seed: u64,
        pace: Pace,
        mood: watch::Receiver<Mood>,
    ) -> Self {
        Self {
            world: tokio::sync::Mutex::new(world),
            homes: tokio::sync::Mutex::default(),
            teller: Teller::new(crate::app::read_npub(newcomer)),
            seed,
            pace,
            mood,
            arriving: AtomicBool::new(false),
        }
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Happening> {
        self.teller.listen()
    }

    pub(super) async fn residents(&self) -> Vec<Resident> {
        let resident = |home: &Home| Resident {
            name: home.character.name,
            npub: home.party.app.npub(),
            handle: home.party.app.handle().clone(),
            node: home.party.app.node().clone(),
        };
        self.homes.lock().await.iter().map(resident).collect()
    }

    /// Opens the town, keeps the blocks coming, and ends when everybody has left.
    pub(super) async fn live(self: Arc<Self>) {
        tokio::join!(self.let_in(), self.mine());
        for home in self.homes.lock().await.iter_mut() {
            let _ = (&mut home.life).await;
        }
    }

    /// Waits, but no longer than until everybody is to leave; a market that is dropped is over, too.
    async fn wait(&self, span: Duration) {
        let mut mood = self.mood.clone();
        let _ = timeout(span, mood.wait_for(|mood| *mood == Mood::Leaving)).await;
    }

    fn is_leaving(&self) -> bool {
        *self.mood.borrow() == Mood::Leaving || self.mood.has_changed().is_err()
    }

    async fn let_in(&self) {
        for character in ROSTER {
            let mut mood = self.mood.clone();
            let _ = mood.wait_for(|mood| *mood != Mood::Resting).await;
            if self.is_leaving() {
                return;
            }
            self.arriving.store(true, Ordering::SeqCst);
            if let Err(why) = self.welcome(character).await {
                tracing::error!(who = character.id, "{why:#}");
            }
            self.arriving.store(false, Ordering::SeqCst);
            self.wait(BETWEEN.mul_f64(self.pace.haste())).await;
        }
    }

    /// Starts one person, who goes about its business at once, and then opens its channel.
    async fn welcome(&self, character: &'static Character) -> anyhow::Result<()> {
        let cheats: Arc<Mutex<BTreeSet<BidId>>> = Arc::default();
        let chosen = Arc::clone(&cheats);
        let change = move |ports: Ports| match character.cheats {
            true => Ports { files: Arc::new(Cheat::new(ports.files.clone(), chosen)), ..ports },
            false => ports,
        };
        let party = self.world.lock().await.party(character.id, None, change).await?;
        let party = Arc::new(party);
        if let Some(key) = crate::app::read_npub(&party.app.npub()) {
            self.teller.introduce(key, character.name);
        }
        let person = Person::new(
            character,
            Arc::clone(&party),
            self.seed,
            self.pace,
            self.teller.clone(),
            cheats,
        )?;
        #[expect(clippy::disallowed_methods, reason = "one task a person; `close` waits for it")]
        let life = tokio::spawn(person.live(self.mood.clone()));
        self.homes.lock().await.push(Home { character, party: Arc::clone(&party), life });
        self.teller.tell(Happening {
            at: now(),
            what: What::Arrived,
            who: character.name.to_owned(),
            with: None,
            gig: None,
            sats: None,
            proof: None,
            text: format!("{} is here: {}", character.name, character.about),
        });
        if party.app.node().channels().await?.is_empty() {
            self.give_a_channel(&party).await?;
        }
        Ok(())
    }

    /// Coins from the faucet, a channel to the LSP, and blocks until it can be used.
    async fn give_a_channel(&self, party: &Party) -> anyhow::Result<()> {
        let node = party.app.node();
        let address = node.new_address().await?;
        let lsp = {
            let mut world = self.world.lock().await;
            world.fund(&address, CHANNEL_SATS + BESIDE_SATS).await?;
            world.mine(1, &[party]).await?;
            world.lsp().peer().clone()
        };
        node.open_channel(&lsp, CHANNEL_SATS).await?;
        let opened = async {
            while !node.channels().await?.iter().any(|channel| channel.ours && channel.usable) {
                if self.is_leaving() {
                    // The blocks of the next start finish it.
                    return Ok(());
                }
                tokio::time::sleep(LOOK).await;
                let world = self.world.lock().await;
                let waits = !world.chain().client().waiting().await?.is_empty();
                let funded =
                    node.channels().await?.iter().any(|c| c.confirmations.unwrap_or(0) > 0);
                if waits || funded {
                    world.mine(1, &[party]).await?;
                }
            }
            anyhow::Ok(())
        };
        timeout(OPENING, opened).await.context("the channel did not open in time")??;
        timeout(OPENING, self.make_receivable(party))
            .await
            .context("the LSP was not paid in time")?
    }

    /// Puts a part of a channel on the LSP's side, by paying it.
    async fn make_receivable(&self, party: &Party) -> anyhow::Result<()> {
        let amount = Msat::sats(RECEIVABLE_SATS);
        let description = format!("room for what {} earns", party.name);
        let receive = WalletCommand::Receive { amount, description };
        let invoice = loop {
            let made = self.world.lock().await.lsp().node().wallet(&receive, Msat::ZERO).await;
            match made {
                Ok(WalletAnswer::Invoice { invoice, .. }) => break invoice,
                // Its end of the channel is ready a moment later.
                _ => tokio::time::sleep(LOOK).await,
            }
        };
        let pay = WalletCommand::Pay { to: invoice, amount: None, max_fee: Msat::ZERO };
        match party.app.handle().wallet(pay).await? {
            WalletAnswer::Payment(HandPayment::Paid { .. }) => Ok(()),
            other => anyhow::bail!("the LSP was not paid for room to receive: {other:?}"),
        }
    }

    pub(super) async fn fund(&self, address: &str, sats: u64) -> anyhow::Result<()> {
        let mut world = self.world.lock().await;
        world.fund(address, sats).await?;
        world.mine(1, &[]).await
    }

    async fn mine(&self) {
        loop {
            self.wait(self.pace.block).await;
            if self.is_leaving() {
                return;
            }
            if let Err(why) = self.world.lock().await.mine(1, &[]).await {
                tracing::warn!("no block was mined: {why:#}");
            }
        }
    }

    async fn nodes(&self) -> Vec<(&'static str, Arc<Node>)> {
        let homes = self.homes.lock().await;
        homes.iter().map(|home| (home.character.name, home.party.app.node().clone())).collect()
    }

    /// Waits until what residents have begun with each other is done, nobody is being paid, and no channel
    /// moves.
    pub(super) async fn is_quiet(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if self.nothing_moves().await {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    async fn nothing_moves(&self) -> bool {
        if self.arriving.load(Ordering::SeqCst) {
            return false;
        }
        let moves = |job: &JobView| match job.phase {
            Phase::Accepted | Phase::Paying => true,
            Phase::Working => self.teller.knows(&job.peer),
            // A stranger may let a delivery wait for as long as it likes.
            Phase::Delivered => job.role == Role::Requester || self.teller.knows(&job.peer),
            _ => false,
        };
        for home in self.homes.lock().await.iter() {
            let watch = home.party.app.handle().watch();
            if watch.borrow().jobs.values().any(|job| moves(job)) {
                return false;
            }
        }
        for (_, node) in self.nodes().await {
            if !node.holdings().await.is_ok_and(|holdings| !holdings.moving) {
                return false;
            }
        }
        let world = self.world.lock().await;
        world.lsp().holdings().await.is_ok_and(|holdings| !holdings.moving)
    }

    pub(super) async fn account(&self) -> anyhow::Result<Account> {
        let world = self.world.lock().await;
        world.mine(1, &[]).await?;
        let mut parties = BTreeMap::new();
        for (name, node) in self.nodes().await {
            node.sync().await?;
            parties.insert(name.to_owned(), Purse::of(node.holdings().await?));
        }
        parties.insert("LSP".to_owned(), world.lsp_purse().await?);
        let (faucet_msat, onchain_fees_msat) = world.books().await?;
        Ok(Account { parties, faucet_msat, onchain_fees_msat })
    }

    /// Stops everybody, then the parts.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let mut stopped = Ok(());
        for home in self.homes.into_inner() {
            // Its life is over, so nobody else holds the party.
            if let Some(party) = Arc::into_inner(home.party) {
                stopped = stopped.and(party.app.stop().await);
            }
        }
        stopped.and(self.world.into_inner().stop().await)
    }
}

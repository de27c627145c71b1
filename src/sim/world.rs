//! The world: peers, relays, nodes and disks, one queue, one seed.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::actor::Stage;
use super::chance::{Draw, Seed, word};
use super::clock::{Clockwork, GENESIS, Ms, PeerClock, PeerDice, What, lock};
use super::disk::{Disks, PeerDisk};
use super::lightning::{Channel, DEEPEST, LightningNet, Node, PeerNode};
use super::peer::{Broken, Peer};
use super::property;
use super::relay::{Manners, PeerRelays, RelayNet};
use super::{Plan, Report};
use crate::engine::{Me, Ports, perform};
use crate::keys::{Keys, Phrase, Secrets};
use crate::market::{Address, Effect, EndpointId, Msat, Network, Policy};

pub(super) const HOUR: Ms = 3_600_000;
/// Hours after the end of chaos: longer than every deadline, resend, HTLC and lease together.
pub(super) const AFTER: u64 = 96;

/// Everything there is.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) seed: Seed,
    pub(super) clockwork: Arc<Clockwork>,
    pub(super) relays: Arc<Mutex<RelayNet>>,
    pub(super) lightning: Arc<Mutex<LightningNet>>,
    pub(super) disks: Arc<Mutex<Disks>>,
    pub(super) peers: Vec<Peer>,
    pub(super) report: Report,
    pub(super) calm: bool,
    pub(super) runtime: tokio::runtime::Runtime,
}

impl World {
    pub(super) fn new(plan: Plan) -> Result<Self, Broken> {
        let seed = Seed(plan.seed);
        let clockwork = Clockwork::new();
        let mut draw = seed.draw("world", &[]);
        // Some worlds are kind, some are not.
        let harsh = if plan.chaos { draw.range(0, 4) } else { 0 };
        let manners = Manners { lies: harsh * 20, drops: harsh * 30, censors: harsh * 15 };
        let relays = RelayNet::new(seed, clockwork.clone(), 3, plan.peers, manners);
        let urls = relays.urls();
        let relays = Arc::new(Mutex::new(relays));
        let nodes: Vec<Node> = (0..plan.peers).map(|i| node(seed, i)).collect();
        let ids: Vec<_> = nodes.iter().map(|n| n.id).collect();
        let net = LightningNet::new(seed, clockwork.clone(), nodes, harsh * 15);
        let lightning = Arc::new(Mutex::new(net));
        let endpoint = |i: usize| EndpointId(seed.bytes("endpoint", &[i as u64]));
        let endpoints = (0..plan.peers).map(endpoint).collect();
        let disks = Disks::new(seed, clockwork.clone(), endpoints, harsh * 40);
        let disks = Arc::new(Mutex::new(disks));
        let mut peers = Vec::new();
        for (i, node) in ids.into_iter().enumerate() {
            let skew = if plan.chaos { draw.range(0, 120) as i64 - 60 } else { 0 };
            let clock = Arc::new(PeerClock { clockwork: clockwork.clone(), skew: skew.into() });
            let dice = Arc::new(PeerDice { seed, peer: i as u64, thrown: AtomicU64::new(0) });
            let phrase = Phrase::new(&seed.bytes("phrase", &[i as u64]));
            let secrets = Secrets { phrase, imported: None };
            let scribe = Arc::new(Keys::new(&secrets, dice.clone(), clock.clone()));
            let address = Address { endpoint: endpoint(i), direct: Vec::new(), relay: None };
            let disk =
                Arc::new(PeerDisk { disks: disks.clone(), me: i, address: address.clone(), seed });
            let ports = Ports {
                scribe,
                relays: Arc::new(PeerRelays { net: relays.clone(), me: i }),
                lightning: Arc::new(PeerNode { net: lightning.clone(), me: i, id: node }),
                transfer: disk.clone(),
                files: disk,
                clock: clock.clone(),
                dice,
            };
            let me = Me {
                node: ports.lightning.node(),
                address,
                relays: urls.clone(),
                network: Network::Regtest,
                spendable: Msat::ZERO,
                least_first: Some(Msat::ZERO),
                receivable: Msat::MAX,
                policy: Policy { receipts: true, ..Policy::default() },
            };
            peers.push(Peer::new(i, clockwork.clone(), clock, ports, me));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|e| e.to_string())?;
        Ok(Self {
            report: Report { seed: plan.seed, ..Report::default() },
            plan,
            seed,
            clockwork,
            relays,
            lightning,
            disks,
            peers,
            calm: false,
            runtime,
        })
    }

    /// Plays it to the end, and then looks at what came of it.
    pub(super) fn run(mut self) -> Result<Report, Broken> {
        for peer in 0..self.peers.len() {
            self.clockwork.after(peer as u64, What::Start(peer));
            self.clockwork.after(1000 + 777 * peer as u64, What::Act(peer));
        }
        self.clockwork.after(60_000, What::Block);
        if self.plan.chaos {
            for relay in 0..3 {
                self.clockwork.after(HOUR + 600_000 * relay as u64, What::Flip(relay));
            }
            self.clockwork.after(HOUR, What::Lsp);
        }
        for (i, peer) in self.plan.restarts.iter().enumerate() {
            self.clockwork.after(HOUR * (i as u64 + 1) + 123_456, What::Restart(*peer));
        }
        self.clockwork.after(self.plan.hours * HOUR, What::Calm);
        let end = GENESIS * 1000 + (self.plan.hours + AFTER) * HOUR;
        while let Some(what) = self.clockwork.next(end) {
            self.report.steps += 1;
            let at = (self.clockwork.now() / 1000).saturating_sub(GENESIS);
            let told = |why: Broken| format!("after {at} s, at {what:?}: {why}");
            self.happen(what).map_err(told)?;
            lock(&self.lightning).check().map_err(told)?;
        }
        property::at_the_end(&mut self)?;
        Ok(self.report)
    }

    pub(super) fn draw(&self, what: &str, key: &[u64]) -> Draw {
        let mut all = vec![self.clockwork.now()];
        all.extend_from_slice(key);
        self.seed.draw(what, &all)
    }

    fn happen(&mut self, what: What) -> Result<(), Broken> {
        match what {
            What::Wake(peer) => self.wake(peer),
            What::Act(peer) => self.act(peer),
            What::Run(peer, epoch, run) if self.peers[peer].epoch == epoch => {
                self.perform(peer, run)
            }
            What::Told(peer, epoch, run) if self.peers[peer].epoch == epoch => {
                let ended = self.peers[peer].tell(run);
                self.after(peer, ended.is_err())
            }
            What::Run(..) | What::Told(..) => Ok(()),
            What::Hop(n) => {
                lock(&self.lightning).hop(n);
                Ok(())
            }
            What::Block => {
                self.block();
                let mut draw = self.draw("block", &[]);
                for peer in 0..self.peers.len() {
                    self.clockwork.after(draw.range(100, 2_000), What::Wake(peer));
                }
                self.clockwork.after(draw.range(60_000, 1_140_000), What::Block);
                Ok(())
            }
            What::Flip(relay) => {
                let up = lock(&self.relays).flip(relay);
                let mut draw = self.draw("flip", &[relay as u64]);
                let wait = if up { draw.range(HOUR, 6 * HOUR) } else { draw.range(60_000, HOUR) };
                if !self.calm {
                    self.clockwork.after(wait, What::Flip(relay));
                }
                Ok(())
            }
            What::Lsp => {
                let up = lock(&self.lightning).flip_lsp();
                let mut draw = self.draw("lsp", &[]);
                let wait = if up { draw.range(HOUR, 4 * HOUR) } else { draw.range(60_000, HOUR) };
                // It never stays down: whoever is down longer than a payment lives is no LSP.
                if !self.calm || !up {
                    self.clockwork.after(wait, What::Lsp);
                }
                Ok(())
            }
            What::Start(peer) => self.start(peer),
            What::Restart(peer) => {
                if !self.peers[peer].is_at_rest() || lock(&self.relays).is_telling(peer) {
                    self.clockwork.after(60_000, What::Restart(peer));
                    return Ok(());
                }
                self.report.restarts += 1;
                self.stop(peer);
                self.start(peer)
            }
            What::Calm => {
                self.calm = true;
                lock(&self.relays).calm();
                lock(&self.lightning).trouble = 0;
                lock(&self.disks).trouble = 0;
                Ok(())
            }
        }
    }

    /// A block is found, or some that were found are found to be of another chain; and now and then a channel
    /// breaks.
    fn block(&self) {
        let mut net = lock(&self.lightning);
        let mut draw = self.draw("chain", &[]);
        // Nothing of the kind befalls a kind world, nor one that is to end.
        if draw.permille(net.trouble) {
            net.reorg(u32::try_from(draw.range(1, u64::from(DEEPEST) + 1)).unwrap_or(1));
        } else {
            net.block();
        }
        let permille = net.trouble / 3;
        net.break_one(permille);
    }

    fn start(&mut self, peer: usize) -> Result<(), Broken> {
        lock(&self.disks).back(peer);
        {
            let mut net = lock(&self.lightning);
            net.nodes[peer].up = true;
            net.push_all();
        }
        self.peers[peer].start()?;
        self.clockwork.after(300, What::Wake(peer));
        Ok(())
    }

    fn stop(&mut self, peer: usize) {
        self.peers[peer].stop();
        lock(&self.relays).disconnect(peer);
        lock(&self.disks).down(peer);
    }

    fn crash(&mut self, peer: usize) {
        if self.peers[peer].core.is_none() {
            return;
        }
        self.report.crashes += 1;
        self.stop(peer);
        lock(&self.lightning).forget(peer);
        let mut draw = self.draw("down", &[peer as u64]);
        // Seconds, mostly; now and then a night.
        let wait =
            if draw.permille(30) { draw.range(HOUR, 9 * HOUR) } else { draw.range(500, 120_000) };
        self.clockwork.after(wait, What::Start(peer));
    }

    /// After the core was called: did the machine die of it?
    pub(super) fn after(&mut self, peer: usize, failed: bool) -> Result<(), Broken> {
        if self.peers[peer].fuse.blown().is_some() {
            self.crash(peer);
            return Ok(());
        }
        if self.peers[peer].fuse.take_refused() {
            self.report.full += 1;
        } else if failed {
            return Err("a commit failed on a whole machine".into());
        }
        self.peers[peer].settle(false);
        Ok(())
    }

    pub(super) fn chaos(&self, what: &str, peer: usize, key: u64, permille: u64) -> bool {
        self.plan.chaos && !self.calm && self.draw(what, &[peer as u64, key]).permille(permille)
    }

    fn wake(&mut self, peer: usize) -> Result<(), Broken> {
        if self.peers[peer].core.is_none() {
            return Ok(());
        }
        if self.chaos("fuse", peer, 0, 1) && !self.peers[peer].fuse.is_lit() {
            let mut draw = self.draw("fuse", &[peer as u64, 1]);
            let n = u32::try_from(draw.range(0, 6)).unwrap_or(0);
            self.peers[peer].fuse.light(n, draw.permille(500));
        }
        if self.chaos("full", peer, 0, 1) {
            let mut draw = self.draw("full", &[peer as u64, 1]);
            self.peers[peer].fuse.fill(u32::try_from(draw.range(1, 8)).unwrap_or(1));
        }
        let failed = self.peers[peer].look().is_err();
        self.after(peer, failed)?;
        while let Some(event) = self.peers[peer].heard() {
            let Some(core) = &mut self.peers[peer].core else { return Ok(()) };
            let failed = core.hear(&event).is_err();
            self.after(peer, failed)?;
        }
        while self.peers[peer].core.is_some()
            && let Some(event) = self.peers[peer].node_event()
        {
            let dies = self.chaos("event", peer, 0, 30);
            let taken = self.peers[peer].take_node_event(&event, dies);
            if dies {
                self.crash(peer);
                return Ok(());
            }
            self.after(peer, taken.is_err())?;
        }
        Ok(())
    }

    fn act(&mut self, peer: usize) -> Result<(), Broken> {
        if self.peers[peer].home.is_some() {
            return self.live(peer);
        }
        let mut draw = self.draw("act", &[peer as u64]);
        let wait = if self.calm { 20 * 60_000 } else { draw.range(30_000, 600_000) };
        // In the last day people rest, so that machines may.
        let now = (self.clockwork.now() - GENESIS * 1000) / HOUR;
        if now < self.plan.hours + AFTER - 24 {
            self.clockwork.after(wait, What::Act(peer));
        }
        if self.peers[peer].core.is_none() {
            return Ok(());
        }
        let stage = Stage {
            seed: self.seed,
            relays: self.relays.clone(),
            disks: self.disks.clone(),
            closing: self.calm,
        };
        stage.act(&mut self.peers[peer], self.plan.gigs);
        self.after(peer, false)
    }

    /// An effect is run, by the very function that the runner calls.
    fn perform(&mut self, peer: usize, run: u64) -> Result<(), Broken> {
        let Some((row, effect, work)) = self.peers[peer].work(run) else { return Ok(()) };
        let key = word(&row.id.0);
        if self.chaos("before", peer, key, 2) {
            self.crash(peer);
            return Ok(());
        }
        let done = self.runtime.block_on(perform(&work, &row.log, &effect));
        *self.report.effects.entry(effect.kind()).or_default() += 1;
        if self.chaos("between", peer, key, 2) {
            self.crash(peer);
            return Ok(());
        }
        let (few, many, slow) = match effect {
            Effect::Fetch { .. } => (100, 2_000, 50),
            Effect::Seal { .. } | Effect::Inspect { .. } | Effect::Open { .. } => (50, 800, 60),
            Effect::Bill { .. } | Effect::Pay { .. } => (100, 1_500, 30),
            _ => (30, 500, 10),
        };
        let mut draw = self.seed.draw("lag", &[key, u64::from(row.tries)]);
        let wait =
            if draw.permille(slow) { draw.range(60_000, 1_200_000) } else { draw.range(few, many) };
        let p = &mut self.peers[peer];
        p.told.insert(run, done);
        self.clockwork.after(wait, What::Told(peer, p.epoch, run));
        Ok(())
    }
}

/// A node: requesters have money, some workers have nothing at all.
fn node(seed: Seed, i: usize) -> Node {
    let mut draw = seed.draw("node", &[i as u64]);
    let channel = match i % 4 {
        0 | 1 => {
            Some(Channel { local: 900_000_000, remote: draw.range(1, 900) * 1_000_000, since: 0 })
        }
        2 => Some(Channel { local: draw.range(1, 30) * 1_000_000, remote: 400_000_000, since: 0 }),
        _ => None,
    };
    Node::new(&seed.bytes("node-key", &[i as u64]), channel)
}

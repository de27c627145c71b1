//! The same engine on fake ports, fake time and one seed.
//!
//! A world is a handful of peers, each with the real core on the real store with real keys, among relays
//! that lose and lie, payments that hang, transfers that are cut, people who cheat and vanish, and
//! machines that die at any moment. The rule: everything follows from the seed, so a failure is a number
//! that plays itself again.

mod actor;
mod brittle;
mod chance;
mod clock;
mod disk;
mod home;
mod lightning;
mod mood;
mod peer;
mod property;
mod relay;
mod world;

use std::collections::BTreeMap;

pub use home::{Asked, Place, Resident, Resides, Witness};

/// What world is played.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// How many peers.
    pub peers: usize,
    /// How many gigs each posts, at most.
    pub gigs: usize,
    /// How long people begin new things, in hours of the world.
    pub hours: u64,
    /// Whether machines die, relays lie and payments hang.
    pub chaos: bool,
    /// Peers that are restarted in good order, one an hour.
    pub restarts: Vec<usize>,
}

impl Plan {
    /// The usual world of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, peers: 5, gigs: 4, hours: 10, chaos: true, restarts: Vec::new() }
    }
}

/// What came of a world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Which world.
    pub seed: u64,
    /// Bids that were let in.
    pub bids: u64,
    /// Jobs that were awarded.
    pub jobs: u64,
    /// How requesters' jobs ended.
    pub ends: BTreeMap<&'static str, u64>,
    /// How judges' cases ended.
    pub cases: BTreeMap<&'static str, u64>,
    /// Things that happened.
    pub steps: u64,
    /// How often each effect was run.
    pub effects: BTreeMap<&'static str, u64>,
    /// Machines that died.
    pub crashes: u64,
    /// Restarts after which what was folded from the store was compared with what stood in memory.
    pub replays: u64,
    /// Commits that found the disk full.
    pub full: u64,
    /// Deliveries that a requester's disk lost after they were inspected.
    pub damaged: u64,
    /// Channels closed by force.
    pub closed: u64,
    /// HTLCs that were held when their channel was closed by force.
    pub closed_held: u64,
    /// HTLCs of such channels that ended on the chain by preimage.
    pub by_preimage: u64,
    /// Sides of such HTLCs that the chain gave back by age.
    pub timed_out: u64,
    /// Times the LSP went down while payments were held.
    pub lsp_down_held: u64,
    /// Times the best chain got shorter.
    pub reorgs: u64,
    /// Payments sent back because their height had come, each held against the chain of that moment.
    pub on_height: u64,
    /// Audits that opened a sample.
    pub audits: u64,
    /// Deliveries that were refused for what an audit showed.
    pub audits_failed: u64,
    /// Opened deliveries, or tranches of them, that passed their checks.
    pub passes: u64,
    /// The same that did not.
    pub fails: u64,
    /// Work that its own program would not sign for.
    pub own_fails: u64,
    /// Jobs that settled although an audit or a check had said no to a delivery before.
    pub repaired: u64,
    /// Proofs that a check says no to what was signed.
    pub check_proofs: u64,
    /// Machines that were restarted in good order.
    pub restarts: u64,
    /// Notices to people.
    pub notices: u64,
    /// BLAKE3 over every fact and ledger line of everybody.
    pub trace: [u8; 32],
}

/// Plays a world to its end.
///
/// # Errors
/// What must never happen, in words, when it did.
pub fn play(plan: &Plan) -> Result<Report, String> {
    play_with(plan, Vec::new())
}

/// The same, with somebody else at the screens of some peers.
///
/// # Errors
/// As [`play`].
pub fn play_with(plan: &Plan, residents: Vec<Resides>) -> Result<Report, String> {
    let mut world = world::World::new(plan.clone())?;
    for resides in residents {
        world.move_in(resides);
    }
    world.run().map_err(|why| format!("EARNEST_SEED={}: {why}", plan.seed))
}

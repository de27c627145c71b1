//! What one more job costs among very many: as much as among few.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    dead_code,
    reason = "a test that cannot go on says so; the two people are shared with other tests"
)]

#[path = "engine/pair.rs"]
mod pair;
#[path = "engine/volume.rs"]
mod volume;

use std::time::{Duration, Instant};

use pair::Requester;
use volume::Volume;

const FEW: usize = 8;
/// With three bids each that came to nothing: four times as many logs.
const MANY: usize = 800;

/// The least time of several goes each, in turns: what it costs when nobody else has the processor.
fn least(
    goes: u32,
    [few, many]: [&mut Volume; 2],
    work: impl Fn(&mut Volume),
) -> (Duration, Duration) {
    let time = |volume: &mut Volume| {
        let began = Instant::now();
        work(volume);
        began.elapsed()
    };
    let all = (0..goes).map(|_| (time(few), time(many)));
    all.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).unwrap()
}

#[test]
fn among_very_many_jobs_one_more_costs_what_it_costs_among_few() {
    let (mut few, mut many) = (Volume::behind(FEW), Volume::behind(MANY));
    // A hundred times as many. What looks at all of them takes dozens of times as long, whatever else the machine
    // does; what does not takes as long as among few, and a little longer for a longer way down the maps.
    let mut flat = |what: &str, goes: u32, times: u32, work: fn(&mut Volume)| {
        let (few, many) = least(goes, [&mut few, &mut many], work);
        assert!(many < few * times, "{what}: {many:?} among {MANY}, {few:?} among {FEW}");
    };
    flat("what of the budget is spent", 50, 8, |volume| {
        for _ in 0..20 {
            volume.pair.core(Requester).budget();
        }
    });
    flat("a snapshot, and what is asked of relays", 50, 8, Volume::look);
    flat("what a bot does next", 50, 8, |volume| drop(volume.think()));
    // The other side, the keys and the store cost what they cost: no look at all of them hides in the rest.
    flat("the whole of it", 10, 4, |volume| {
        volume.one_more();
    });
}

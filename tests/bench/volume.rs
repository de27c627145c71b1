//! What one more job of a bot costs among very many that are over: its own engine and what the bot thinks, and a
//! worker's engine that does the job; no node, no relay and no disk between them. And what each leaves behind.

use crate::behind::Volume;
use crate::{Row, Samples};

/// Beside whom.
const FEW: usize = 100;
const MANY: [(usize, &str); 5] = [
    (500, "one job more for a bot with 500 behind it"),
    (1_000, "one job more for a bot with 1,000 behind it"),
    (2_000, "one job more for a bot with 2,000 behind it"),
    (5_000, "one job more for a bot with 5,000 behind it"),
    (10_000, "one job more for a bot with 10,000 behind it"),
];
const TIMES: usize = 20;

/// What this process holds, in KiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
    let mut few = Volume::behind(FEW);
    for (jobs, name) in MANY {
        let before = resident();
        let mut many = Volume::behind(jobs);
        let each = (resident() - before) / jobs as f64;
        let (mut ours, mut theirs) = (Samples::default(), Samples::default());
        for _ in 0..TIMES / 4 {
            few.times(4).into_iter().for_each(|took| theirs.millis(took));
            many.times(4).into_iter().for_each(|took| ours.millis(took));
        }
        tell(ours.against(name, "ms", "the same with 100 behind it", &theirs));
        // What the scene itself has, and what an earlier one has left, does not count where there are very many.
        if jobs == 10_000 {
            let mut one = Samples::default();
            one.push(each);
            let row = one.row("what each of 10,000 leaves in memory, its facts among it", "KiB");
            tell(Row { n: jobs, ..row });
        }
        if few.left() < TIMES {
            few = Volume::behind(FEW);
        }
    }
}

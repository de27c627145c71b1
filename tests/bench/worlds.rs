//! The simulator on one core: whole worlds of five people, liars, crashes and lossy relays, with real
//! signatures, seals and stores.

use earnest::sim::{Plan, play};

use crate::{Row, Samples, timed};

const WORLDS: u64 = 8;

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
    let (mut step, mut job, mut kills) = <(Samples, Samples, Samples)>::default();
    let (mut steps_a_second, mut jobs_a_second) = <(Samples, Samples)>::default();
    let mut jobs = 0;
    for seed in 0..WORLDS {
        let (report, took) = timed(|| play(&Plan::new(seed)).unwrap());
        let micros = took.as_secs_f64() * 1e6;
        step.push(micros / report.steps as f64);
        steps_a_second.push(report.steps as f64 / took.as_secs_f64());
        jobs_a_second.push(report.jobs as f64 / took.as_secs_f64());
        job.push(micros / 1000.0 / report.jobs as f64);
        kills.push(report.crashes as f64);
        jobs += report.jobs as usize;
    }
    tell(Row { n: jobs, ..step.row("a step of the simulator, one core", "µs") });
    tell(Row { n: jobs, ..steps_a_second.row("steps of the simulator, one core", "/s") });
    tell(Row { n: jobs, ..jobs_a_second.row("jobs of the simulator, one core", "/s") });
    tell(kills.row("kills of a process in one world", ""));
    tell(Row { n: jobs, ..job.row("a job of the simulator, with all that is done to it", "ms") });
}

//! What a job costs when nobody looks on: a requester's bot and four workers' on one machine, beside payments
//! between the same nodes without any market. It is the story `bot-requester`, which also proves that none was
//! lost and none paid twice. And what an audit before payment takes.

use std::time::Instant;

use earnest::sandbox::{Play, StepTaken, play};

use crate::{Row, Samples, runtime};

/// How many jobs: a job must not cost more among many.
const MANY: [(u32, &str); 2] = [
    (100, "a job by a bot, published to paid, of 100"),
    (1_000, "a job by a bot, published to paid, of 1,000"),
];

const AUDITS: usize = 5;

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
    let mut audits = Samples::default();
    for _ in 0..AUDITS {
        let story = Play { name: "audit".into(), ..Play::default() };
        // A step tells whole milliseconds; what an audit takes is a few.
        let mut begun = Instant::now();
        let mut step = |taken: StepTaken| {
            if taken.step.contains("confidence") {
                audits.push(begun.elapsed().as_secs_f64() * 1e6);
            }
            begun = Instant::now();
        };
        assert!(runtime().block_on(play(story, &mut step)).unwrap().ok);
    }
    tell(audits.row("an audit of 20 records of 600, asked to checked", "µs"));
    for (jobs, name) in MANY {
        let story = Play { name: "bot-requester".into(), jobs: Some(jobs), ..Play::default() };
        let summary = runtime().block_on(play(story, &mut |_| {})).unwrap();
        assert!(summary.ok, "{:#?}", summary.asserts);
        let each = |key: &str| {
            let mut one = Samples::default();
            one.push(1000.0 / summary.extra[key].as_f64().unwrap());
            one
        };
        let row = each("jobs_per_s").against(
            name,
            "ms",
            "a payment without a market, 8 at once",
            &each("bare_payments_per_s"),
        );
        tell(Row { n: jobs as usize, ..row });
        if jobs > 100 {
            tenths(&summary.extra, jobs, tell);
        }
    }
}

/// What early jobs cost and what late ones, the first tenth aside, when everybody is still a stranger, and
/// the last, when the queue runs dry; and what each leaves behind.
fn tenths(told: &serde_json::Map<String, serde_json::Value>, jobs: u32, tell: &mut dyn FnMut(Row)) {
    let list = |key: &str| -> Vec<f64> {
        let values = told.get(key).and_then(|list| list.as_array());
        values.into_iter().flatten().filter_map(serde_json::Value::as_f64).collect()
    };
    let tenth = jobs as usize / 10;
    let mut row = |value: f64, name, unit| {
        let mut one = Samples::default();
        one.push(value);
        tell(Row { n: tenth, ..one.row(name, unit) });
    };
    let took = list("ms_per_job");
    let (Some(second), Some(ninth)) = (took.get(1), took.get(8)) else { return };
    row(*second, "one of the second tenth of them", "ms");
    row(*ninth, "one of the ninth tenth of them", "ms");
    let each = |key: &str| {
        let held = list(key);
        let (Some(from), Some(to)) = (held.get(1), held.last()) else { return 0.0 };
        (to - from) / f64::from(jobs) / 0.9 / 1024.0
    };
    row(each("stored_bytes"), "what each leaves in the requester's database", "KiB");
    row(
        each("resident_bytes"),
        "what each leaves in memory, of all six nodes, relay and chain",
        "KiB",
    );
}

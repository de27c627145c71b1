//! What a job costs when nobody looks on: a requester's bot and four workers' on one machine, beside payments
//! between the same nodes without any market. It is the story `bot-requester`, which also proves that none was
//! lost and none paid twice. And what an audit before payment takes.

use earnest::sandbox::{Play, StepTaken, play};

use crate::{Row, Samples, runtime};

/// How many jobs: a job must not cost more among many.
const MANY: [(u32, &str); 2] = [
    (50, "a job by a bot, published to paid, of 50"),
    (200, "a job by a bot, published to paid, of 200"),
];

const AUDITS: usize = 5;

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
    let mut audits = Samples::default();
    for _ in 0..AUDITS {
        let story = Play { name: "audit".into(), ..Play::default() };
        let mut step = |taken: StepTaken| {
            if taken.step.contains("confidence") {
                audits.push(taken.ms as f64);
            }
        };
        assert!(runtime().block_on(play(story, &mut step)).unwrap().ok);
    }
    tell(audits.row("an audit of 20 records of 600, asked to checked", "ms"));
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
    }
}

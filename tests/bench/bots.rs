//! What a job costs when nobody looks on: a requester's bot and four workers' on one machine, beside payments
//! between the same nodes without any market. It is the story `bot-requester`, which also proves that none was
//! lost and none paid twice.

use earnest::sandbox::{Play, play};

use crate::{Row, Samples, runtime};

/// How many jobs: a job must not cost more among many.
const MANY: [(u32, &str); 2] = [
    (50, "a job by a bot, published to paid, of 50"),
    (400, "a job by a bot, published to paid, of 400"),
];

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
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

//! Every sandbox story on real parts: a chain, a relay, an LSP, and parties that are ordinary earnests.

use earnest::sandbox::{self, Play, Summary};

fn play(play: Play) -> Summary {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut steps = Vec::new();
    let told = runtime.block_on(sandbox::play(play, &mut |step| steps.push(step)));
    let steps: Vec<_> = steps.iter().map(|s| format!("{:>6} ms  {}", s.ms, s.step)).collect();
    let summary = told.unwrap_or_else(|why| panic!("{why:#}\n{}", steps.join("\n")));
    for assert in summary.asserts.iter().filter(|a| !a.ok) {
        eprintln_assert(assert, &steps);
    }
    summary
}

#[expect(clippy::disallowed_macros, reason = "a failing story shows what it saw")]
fn eprintln_assert(assert: &sandbox::Assert, steps: &[String]) {
    eprintln!("{}: want {} saw {}\n{}", assert.name, assert.want, assert.saw, steps.join("\n"));
}

#[test]
fn a_worker_who_owns_nothing_is_paid_for_a_first_job() {
    let summary = play(Play { name: "first-job".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    assert_eq!(summary.diff_msat, 0);
}

//! The README is right: its bots of ten lines do what it says, as pasted.

#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]

#[expect(dead_code, reason = "shared with tests/peers.rs, which does more")]
#[path = "peers/peer.rs"]
mod peer;
#[expect(dead_code, reason = "shared with tests/cli.rs, which uses more of it")]
#[path = "cli/shell.rs"]
mod shell;

use std::process::{Child, Command, Stdio};

use peer::{Peer, text, until};
use shell::{Ended, Home, Served};

/// The blocks of this language in the README below this heading.
fn blocks(heading: &str, language: &str) -> Vec<&'static str> {
    let readme = include_str!("../README.md");
    let section = readme.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let fence = format!("```{language}\n");
    section.split(&fence).skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// What the README says to paste into a shell below this heading, one text a block.
fn pasted(heading: &str) -> Vec<&'static str> {
    blocks(heading, "sh")
}

/// Pastes it into a shell of this person.
fn paste(peer: &Peer, text: &str) -> Child {
    let earnest = format!(
        "earnest() {{ '{}' \"$@\" --data-dir '{}' {}; }}\nset -e\n{text}",
        env!("CARGO_BIN_EXE_earnest"),
        peer.home.data().display(),
        peer.flags()
    );
    Command::new("sh")
        .args(["-c", &earnest])
        .current_dir(peer.home.dir())
        .env("HOME", peer.home.dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn the_bots_of_the_readme_work_as_pasted() {
    let [pays, works] = pasted("Bots")[..] else { panic!("a bot for each side") };
    let world = Served::start();
    let (mut ada, mut bob) = (Peer::new("ada", &world), Peer::new("bob", &world));
    ada.start();
    bob.start();
    ada.fund(&world, 1_000_000);
    // 2,000 sat open no channel: bob has one from an earlier payment.
    until("bob knows the provider's terms", || {
        bob.verb(&["wallet", "receive", "50000sat"]).status == 0
    });
    let bill = bob.verb(&["wallet", "receive", "50000sat"]).done();
    ada.verb(&["wallet", "pay", &text(&bill, "invoice"), "--yes"]).done();
    until("bob is paid", || bob.balance() > 40_000_000);
    let bob_had = bob.balance();

    let mut worker = paste(&bob, works);
    let requester = Ended::of("the requester's bot", paste(&ada, pays));
    let said = requester.ok();
    assert!(said.contains("1 of 1 items done for 1,800 sat"), "{said}");
    let results = std::fs::read_to_string(ada.home.dir().join("sorted/results.jsonl")).unwrap();
    let result: serde_json::Value = serde_json::from_str(results.trim()).unwrap();
    assert_eq!(result["id"], "1");
    let file = ada.home.dir().join("sorted").join(text(&result, "file"));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "apple\npear\n");
    until("bob has what he asked for", || bob.balance() == bob_had + 1_800_000);
    // A second one of the same name would do everything twice.
    let second = bob.verb(&["bot", "work.toml"]).failed(2);
    assert!(text(&second, "message").contains("runs already"), "{second}");
    // Nor is the queue done twice.
    let again = ada.verb(&["bot", "pay.toml", "--out", "sorted"]).failed(2);
    assert!(text(&again, "message").contains("--resume"), "{again}");
    let again = ada.verb(&["bot", "pay.toml", "--out", "sorted", "--resume"]).ok();
    assert!(again.lines().last().unwrap().contains("\"posted\":1"), "{again}");
    assert_eq!(bob.balance(), bob_had + 1_800_000);
    // A dry run says what a longer queue would cost, what of it nobody would take, and asks for nothing.
    let more = "{\"id\":\"2\"}\n{\"id\":\"dear\",\"price\":6000}\n";
    std::fs::write(ada.home.dir().join("queue.jsonl"), more).unwrap();
    let had = ada.balance();
    let dry = ada.verb(&["bot", "pay.toml", "--dry-run", "--once"]);
    assert_eq!(dry.status, 1, "{}", dry.all());
    let said = |what: &str| {
        let records = dry.out.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut records = records.filter(|record: &serde_json::Value| record["what"] == what);
        records.next().unwrap_or_else(|| panic!("{what}: {}", dry.all()))
    };
    let plan = said("plan");
    assert!(text(&plan, "why").starts_with("2 items, 1 of them would be refused."), "{plan}");
    assert!(text(&plan, "why").contains("at most 2,040 sat; never more than 6,120 sat"), "{plan}");
    assert_eq!(said("refused")["item"], "dear");
    assert_eq!((&said("post")["item"], &said("post")["dry"]), (&"2".into(), &true.into()));
    let dry: serde_json::Value = serde_json::from_str(dry.out.lines().last().unwrap()).unwrap();
    assert_eq!((&dry["posted"], ada.balance()), (&0.into(), had));
    // It runs until somebody stops it; here its owner does.
    bob.end();
    let _ = worker.wait();
    ada.end();
    world.end();
}

#[test]
fn the_configuration_for_signet_can_be_read() {
    let [sample] = blocks("From the sandbox to signet", "toml")[..] else { panic!("one file") };
    let home = Home::with_keys();
    let lsp = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798@127.0.0.1:9735";
    let written = sample.replace("NODE_ID@HOST:PORT", lsp);
    assert_ne!(written, sample);
    home.secret("data/config.toml", &written);
    let told = home.run("config --json").ok();
    for (key, value) in [
        ("network", "signet"),
        ("chain.url", "https://mempool.space/signet/api"),
        ("lsp.node", lsp),
    ] {
        let row = told.lines().find(|row| row.contains(&format!("\"{key}\""))).unwrap();
        assert!(row.contains(value) && row.contains("config.toml"), "{row}");
    }
}

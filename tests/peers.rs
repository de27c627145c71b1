//! Three people with an ordinary earnest each, on a served sandbox, who do jobs for each other by verbs
//! alone: in both roles, sealed and in the open, with real files, and with owners that are killed.

#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]

#[expect(dead_code, reason = "shared with tests/hostile.rs, which reads as a person does")]
#[path = "peers/peer.rs"]
mod peer;
#[expect(dead_code, reason = "shared with tests/cli.rs, which uses more of it")]
#[path = "cli/shell.rs"]
mod shell;

use std::collections::BTreeSet;
use std::fs;

use peer::{Peer, has, text, until};
use serde_json::Value;
use shell::Served;

const INPUT: &str = "7\n3\n3\n21\n1\n";
const SORTED: &str = "1\n3\n7\n21\n";

#[test]
fn three_people_do_jobs_for_each_other_by_verbs_alone() {
    let world = Served::start();
    let mut ada = Peer::new("ada", &world);
    let mut bob = Peer::new("bob", &world);
    let mut cleo = Peer::new("cleo", &world);
    ada.start();
    bob.start();
    ada.fund(&world, 1_000_000);
    let ada_had = ada.balance();
    assert_eq!(bob.balance(), 0, "bob begins with nothing");

    // ------------------------------------------------ one: ada asks, bob works, sealed
    ada.home.file("numbers.txt", INPUT);
    ada.home.file(
        "gig.toml",
        "title = \"Sort the numbers\"\ncontent = \"Sorted, each once.\"\nprice = 200000\nmodes = [\"sealed\", \"direct\"]\n\
         tags = [\"sorting\"]\ndeliver = \"1h\"\npay = \"1h\"\ninputs = [\"numbers.txt\"]\n",
    );
    let posted = ada.verb(&["post", "gig.toml"]).done();
    let gig = text(&posted, "gig");
    let watching = ada.watch();

    until("bob sees the gig", || has(&bob.rows(&["gigs", "sort", "#sorting"]), "id", &gig));
    let wrong = bob.verb(&["bid", &gig[..8], "--price", "much"]);
    assert_eq!(wrong.failed(2)["code"], "usage");
    let said = bob.verb(&["bid", &gig[..8], "--price", "1"]).failed(3);
    assert_eq!(
        (text(&said, "code"), text(&said, "money")),
        ("price-too-small".into(), "untouched".into())
    );
    assert_eq!(ada.verb(&["bid", &gig[..8]]).failed(3)["code"], "own-gig");
    let bid =
        ["bid", &gig[..8], "--price", "180000", "--mode", "sealed", "--message", "I sort well."];
    let bid = bob.verb(&bid).done();
    assert_eq!((text(&bid, "outcome"), text(&bid, "money")), ("sent".into(), "untouched".into()));
    let one = text(&bid, "job");
    assert_eq!(bob.verb(&["bid", &gig[..8]]).failed(3)["code"], "bid-twice");
    // Cleo runs no earnest: the verb owns hers for its time.
    let hers = text(&cleo.verb(&["bid", &gig[..8], "--price", "150000"]).done(), "job");

    until("both bids are with ada", || ada.rows(&["jobs", "bid"]).len() == 2);
    let seen = ada.verb(&["job", &one[..8]]).done();
    assert_eq!(seen["history"][0]["text"], "I sort well.");
    assert_eq!(seen["job"]["price"], "180000000");
    assert_eq!(ada.verb(&["accept", &one[..8], "--yes"]).failed(3)["code"], "wrong-phase");
    let no = ["decline", &hers[..8], "--reason", "Somebody was faster."];
    assert_eq!(text(&ada.verb(&no).done(), "outcome"), "sent");
    let awarded = ada.verb(&["award", &one[..8]]).done();
    assert_eq!(
        (text(&awarded, "outcome"), text(&awarded, "amount")),
        ("sent".into(), "180000000".into())
    );

    // What was said while cleo was away waits at the relay.
    until("cleo hears the no", || has(&cleo.rows(&["jobs", "declined"]), "id", &hers));
    let history = cleo.verb(&["job", &hers[..8]]).done();
    assert_eq!(history["history"][1]["text"], "Somebody was faster.");

    until("bob has the job", || has(&bob.rows(&["jobs", "working", "worker"]), "id", &one));
    let files = bob.rows(&["files", &one[..8], "--out", "work", "--wait", "60"]);
    assert_eq!((files.len(), text(&files[0], "what")), (1, "input".into()));
    let copy = bob.home.dir().join(text(&files[0], "copy"));
    assert_eq!(fs::read_to_string(&copy).unwrap(), INPUT);
    bob.verb(&["note", &one[..8], "Are doubles wanted?"]).done();
    until("ada reads the note", || ada.said(&one).contains("Are doubles wanted?"));
    ada.verb(&["note", &one[..8], "No: each once."]).done();
    until("bob reads the answer", || bob.said(&one).contains("No: each once."));

    let sorted: BTreeSet<u32> = INPUT.lines().map(|n| n.parse().unwrap()).collect();
    let sorted: String = sorted.iter().map(|n| format!("{n}\n")).collect();
    bob.home.file("sorted.txt", &sorted);
    assert_eq!(ada.verb(&["deliver", &one[..8], "gig.toml"]).failed(3)["code"], "not-your-role");
    assert_eq!(bob.verb(&["deliver", &one[..8], "none.txt"]).failed(1)["code"], "never");
    let deliver = ["deliver", &one[..8], "sorted.txt", "--message", "Each once."];
    assert_eq!(text(&bob.verb(&deliver).done(), "outcome"), "announced");
    // Bob's owner dies, and comes back.
    bob.kill();
    bob.start();

    let unsure = ada.verb(&["accept", &one[..8]]);
    until("the delivery is with ada", || has(&ada.rows(&["jobs", "delivered"]), "id", &one));
    assert!([2, 3].contains(&unsure.status), "{}", unsure.all());
    let unsure = ada.verb(&["accept", &one[..8], "--wait", "60"]).failed(2);
    assert_eq!(unsure["code"], "needs-yes");
    assert!(text(&unsure, "message").contains("180,000 sat"), "{unsure}");
    let paid = ada.verb(&["accept", &one[..8], "--yes", "--max-fee", "500"]).done();
    assert_eq!((text(&paid, "outcome"), text(&paid, "money")), ("paid".into(), "spent".into()));
    assert_eq!(fs::read_to_string(text(&paid, "file")).unwrap(), SORTED);
    assert_eq!(ada.verb(&["accept", &one[..8], "--yes"]).failed(3)["code"], "wrong-phase");
    until("bob is paid", || has(&bob.rows(&["jobs", "settled"]), "id", &one));
    let earned = bob.received(&one);
    assert!(earned > 170_000_000 && earned <= 180_000_000, "{earned}");
    bob.verb(&["rate", &one[..8], "5", "Clear and quick."]).done();
    assert_eq!(bob.verb(&["rate", &one[..8], "6"]).failed(3)["code"], "bad-rating");
    until("ada is rated", || ada.said(&one).contains("Clear and quick."));

    // ------------------------------------------------ two: bob asks with what he earned, cleo works, direct
    cleo.start();
    bob.home.file(
        "gig.toml",
        "title = \"Greet me\"\nprice = 30000\nmodes = [\"direct\"]\ndeliver = \"1h\"\npay = \"1h\"\n",
    );
    let greet = text(&bob.verb(&["post", "gig.toml"]).done(), "gig");
    until("cleo sees the gig", || has(&cleo.rows(&["gigs", "greet"]), "id", &greet));
    let two = text(&cleo.verb(&["bid", &greet[..8]]).done(), "job");
    until("the bid is with bob", || has(&bob.rows(&["jobs", "mine"]), "id", &two));
    bob.verb(&["award", &two[..8]]).done();
    until("cleo has the job", || has(&cleo.rows(&["jobs", "working"]), "id", &two));
    cleo.home.file("greeting.txt", "Hello, Bobby!\n");
    cleo.verb(&["deliver", &two[..8], "greeting.txt"]).done();
    until("bob has the first greeting", || {
        bob.verb(&["job", &two[..8]]).done()["job"]["delivery"]["inspected"] == true
    });
    bob.verb(&["reject", &two[..8], "--reason", "It is Bob."]).done();
    until("cleo hears why", || cleo.said(&two).contains("It is Bob."));
    // Both owners die between two deliveries.
    cleo.kill();
    bob.kill();
    cleo.start();
    bob.start();
    cleo.home.file("greeting.txt", "Hello, Bob!\n");
    cleo.verb(&["deliver", &two[..8], "greeting.txt"]).done();
    until("bob has the second greeting", || has(&bob.rows(&["jobs", "delivered"]), "id", &two));
    assert_eq!(cleo.verb(&["withdraw", &two[..8]]).failed(3)["code"], "wrong-phase");
    let paid = bob.verb(&["accept", &two[..8], "--yes"]).done();
    assert_eq!(fs::read_to_string(text(&paid, "file")).unwrap(), "Hello, Bob!\n");
    let fee: u64 = text(&paid, "fee").parse().unwrap();
    until("cleo is paid", || has(&cleo.rows(&["jobs", "settled"]), "id", &two));
    let earned_too = cleo.received(&two);

    // ------------------------------------------------ who is who, and whom nobody wants to hear
    let people = bob.rows(&["people"]);
    assert_eq!(people.len(), 2);
    let person = |key: &str| people.iter().find(|p| text(p, "npub") == key).unwrap();
    assert_eq!((&person(&ada.npub)["gave"], &person(&ada.npub)["settled"]), (&1.into(), &1.into()));
    assert_eq!(text(person(&ada.npub), "received"), earned.to_string());
    assert_eq!(
        (&person(&cleo.npub)["worked"], text(person(&cleo.npub), "paid")),
        (&1.into(), "30000000".into())
    );
    cleo.home.file("gig.toml", "title = \"Noise\"\nprice = 5000\n");
    let noise = text(&cleo.verb(&["post", "gig.toml"]).done(), "gig");
    until("ada sees the noise", || has(&ada.rows(&["gigs", "noise"]), "id", &noise));
    assert_eq!(ada.verb(&["mute", &cleo.npub]).done()["muted"], true);
    assert_eq!(ada.rows(&["gigs", "noise"]), Vec::<Value>::new());
    assert_eq!(text(&ada.rows(&["mute", "--list"])[0], "npub"), cleo.npub);
    ada.verb(&["mute", &cleo.npub, "--remove"]).done();
    assert!(has(&ada.rows(&["gigs", "noise"]), "id", &noise));
    assert_eq!(ada.verb(&["mute", &ada.npub]).failed(3)["code"], "own-key");
    assert_eq!(text(&cleo.verb(&["close", &noise[..8]]).done(), "outcome"), "sent");
    assert_eq!(cleo.verb(&["close", &noise[..8]]).failed(3)["code"], "gig-closed");
    assert_eq!(ada.verb(&["close", &noise[..8]]).failed(4)["code"], "not-found");
    assert_eq!(ada.verb(&["job", "ffffffff"]).failed(4)["code"], "not-found");
    let relay = &ada.rows(&["relays"])[0];
    assert_eq!((&relay["connected"], &relay["live"]), (&true.into(), &true.into()));
    assert!(relay["latency_ms"].is_u64() && relay["took_at"].is_u64(), "{relay}");

    // ------------------------------------------------ what the wallets say
    let routing: u64 = ada.routing(&one);
    until("every wallet is still", || {
        ada.balance() == ada_had - 180_000_000 - routing
            && bob.balance() == earned - 30_000_000 - fee
            && cleo.balance() == earned_too
    });
    let told = watching.end();
    for code in ["bid", "note", "inspected", "paid", "opened", "rated"] {
        let of = |line: &Value| line["event"] == "notice" && line["notice"]["code"] == code;
        assert!(told.iter().any(of), "watch told no `{code}`");
    }
    let settled = |line: &Value| line["event"] == "job" && line["job"]["phase"] == "settled";
    assert!(told.iter().any(settled), "watch did not see the end of the job");
    let grown = |line: &&Value| line["event"] == "fact" && line["job"] == one.as_str();
    let facts: Vec<&Value> = told.iter().filter(grown).map(|line| &line["fact"]).collect();
    for kind in ["bid", "award", "deliver", "rate"] {
        assert!(facts.iter().any(|fact| fact["kind"] == kind), "watch told no fact `{kind}`");
    }
    let places: Vec<_> = facts.iter().filter_map(|fact| fact["n"].as_u64()).collect();
    let first = places.first().copied().expect("facts");
    let each_once: Vec<_> = (first..).take(facts.len()).collect();
    assert_eq!(places, each_once, "each line of the history once, in order");
    for peer in [ada, bob, cleo] {
        peer.end();
    }
    world.end();
}

//! The binary as a person or a script uses it.

#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]

#[expect(dead_code, reason = "shared with tests/engine.rs, which uses more of it")]
#[path = "engine/pair.rs"]
mod pair;
#[path = "cli/proof.rs"]
mod proof;
#[path = "cli/scene.rs"]
mod scene;
#[path = "cli/schema.rs"]
mod schema;
#[expect(dead_code, reason = "shared with tests/peers.rs, which uses more of it")]
#[path = "cli/shell.rs"]
mod shell;
#[path = "cli/typed.rs"]
mod typed;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::Value;

use shell::{Ended, Home, Running, Served};

const GIG: &str = "title = \"Label 300 cats\"\nsummary = \"Cats\"\ncontent = \"# Task\\nSay what you see.\"\n\
                   price = \"21000sat\"\ntags = [\"cats\"]\ndeliver = \"1h\"\ninputs = [\"cats.txt\"]\n";

#[test]
fn the_manual_is_right() {
    trycmd::TestCases::new().case("tests/cli/*.md");
}

#[test]
fn the_manual_of_jobs_is_right() {
    let home = Home::with_keys();
    scene::play(&home.data().join("regtest"), || {
        trycmd::TestCases::new()
            .env("EARNEST_DATA_DIR", home.data().to_str().unwrap())
            .env("EARNEST_NETWORK", "regtest")
            .env("EARNEST_CHAIN_URL", "http://127.0.0.1:1")
            .case("tests/cli/jobs/*.md");
    });
}

#[test]
fn whoever_pays_is_asked_and_only_a_yes_pays() {
    let home = Home::with_keys();
    scene::play(&home.data().join("regtest"), || {
        let ask = |answer| typed::typed(&home, "accept c0ffee11", "Type yes to go on: ", answer);
        for no in ["no\n", "\n", "y\n", "21000\n"] {
            let (status, shown) = ask(no);
            assert_eq!(status, 130, "{shown}");
            assert!(shown.contains("no money moved"), "{shown}");
        }
        let (status, shown) = ask("yes\n");
        assert_eq!(status, 0, "{shown}");
        for named in [
            "Pay 21,000 sat, and at most",
            "to npub1",
            "for \"Clean a list\" (job c0ffee11)",
            "No job with them has been settled before.",
            "Paid: 21,000 sat",
        ] {
            assert!(shown.contains(named), "{named}: {shown}");
        }
    });
}

#[test]
fn what_a_bot_may_not_decide_alone_waits_for_a_yes() {
    let home = Home::with_keys();
    scene::play_more(&home.data().join("regtest"), || {
        let asks = || regtest(&home, "job d0e5 --json").done()["job"]["asked"].clone();
        let waits = serde_json::json!(["bot:labels", "award"]);
        assert_eq!(asks(), waits);
        let shown = regtest(&home, "job d0e5");
        let line = "asks you  whether bot:labels may award: earnest approve d0e50001";
        assert!(shown.ok().contains(line), "{}", shown.all());
        // Nobody is there to ask.
        let nobody = regtest(&home, "approve d0e5 --json").failed(2);
        assert_eq!(nobody["code"], "needs-yes");
        let answer = |answer| typed::typed(&home, "approve d0e5", "[y/N] ", answer);
        for no in ["n\n", "\n", "21000\n"] {
            let (status, shown) = answer(no);
            assert_eq!(status, 3, "{shown}");
            assert!(shown.contains("bot:labels may award d0e50001"), "{shown}");
            assert!(shown.contains("for 21,000 sat?"), "{shown}");
            assert!(shown.contains("Nothing was approved. No money moved."), "{shown}");
            assert_eq!(asks(), waits, "{no:?} is no yes");
        }
        let (status, shown) = answer("y\n");
        assert_eq!(status, 0, "{shown}");
        assert!(shown.contains("bot:labels may do job d0e50001 for 21,000 sat."), "{shown}");
        assert_eq!(asks(), serde_json::Value::Null);
        let again = regtest(&home, "approve d0e5 --yes --json").failed(3);
        assert_eq!(again["code"], "not-asked");
    });
}

fn regtest(home: &Home, line: &str) -> Ended {
    let mut command = home.command(line);
    command.env("EARNEST_NETWORK", "regtest").env("EARNEST_CHAIN_URL", "http://127.0.0.1:1");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    Ended::of(line, child)
}

#[test]
fn what_a_bid_brings_is_said_before_it_is_signed() {
    let home = Home::with_keys();
    scene::play_more(&home.data().join("regtest"), || {
        let sealed = regtest(&home, "bid 5a1e --mode sealed");
        assert!(sealed.ok().contains("No money moved"));
        for words in [
            "You ask 21,000 sat. You net at least 18,000 sat",
            "your LSP keeps at most 3,000 sat",
            "you can spend 17,000 sat at once at most",
        ] {
            assert!(sealed.err.contains(words), "{words}: {}", sealed.err);
        }
        assert!(!sealed.err.contains("costs you the work"), "{}", sealed.err);
        let held = regtest(&home, "bid 5a1e --price 50000");
        held.ok();
        assert!(held.err.contains("You ask 50,000 sat. You net at least 47,000"), "{}", held.err);
        assert!(held.err.contains("costs you the work, not the money"), "{}", held.err);
        let told = regtest(&home, "bid 5a1e --json").done();
        for (name, sats) in
            [("lsp_fee_most", 3_000), ("net_least", 18_000), ("spendable_most", 17_000)]
        {
            assert_eq!(told[name], format!("{}", sats * 1_000), "{name}");
        }
    });
}

#[test]
fn when_the_money_is_back_is_said_before_it_is_locked() {
    let home = Home::with_keys();
    scene::play_more(&home.data().join("regtest"), || {
        let asked = regtest(&home, "fund e5c0 --json").failed(2);
        assert_eq!(asked["code"], "needs-yes");
        let said = asked["message"].as_str().unwrap();
        // The worker's bill is from block 1000, and the node is at 800,000 by now: there will be another.
        for words in [
            "Lock 21,000 sat",
            "back by block 800664 if it is locked now, plus",
            "664 blocks, about 4 d",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
    });
}

#[test]
fn a_script_that_says_another_amount_moves_nothing() {
    let home = Home::with_keys();
    scene::play_more(&home.data().join("regtest"), || {
        for line in
            ["fund e5c0 --yes --amount 20999 --json", "accept bead --yes --amount 21001 --json"]
        {
            let no = regtest(&home, line).failed(3);
            assert_eq!((&no["code"], &no["money"]), (&"other-amount".into(), &"untouched".into()));
            assert!(no["message"].as_str().unwrap().contains("21,000 sat"), "{no}");
        }
        // The right one alone is no yes.
        let asked = regtest(&home, "fund e5c0 --amount 21000 --json").failed(2);
        assert_eq!(asked["code"], "needs-yes");
        let paid = regtest(&home, "accept c0ffee --yes --amount 21,000sat --json").done();
        assert_eq!(paid["outcome"], "paid");
    });
}

/// A hook, a worker's command: what they ask of earnest, a bot asks.
#[test]
fn a_command_of_a_bot_is_bound_as_the_bot_is() {
    let home = Home::with_keys();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let through = |script: &str, line: &str| {
        let plain = home.command(&format!(
            "{line} --network regtest --chain-url http://127.0.0.1:1 --no-input"
        ));
        let words = std::iter::once(plain.get_program()).chain(plain.get_args());
        let words: Vec<_> = words.map(|word| word.to_str().unwrap().to_owned()).collect();
        let limits = earnest::bot::Limits {
            time: std::time::Duration::from_secs(60),
            memory: 64 << 30,
            disk: 64 << 20,
        };
        let shell = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
        let words = [shell, words].concat();
        let command = earnest::bot::Command { words, beside: home.dir().to_owned(), limits };
        let scratch = earnest::bot::Scratch::fresh(&home.dir().join("scratch")).unwrap();
        let job = earnest::bot::Job::Json(serde_json::json!({}));
        match runtime.block_on(earnest::bot::run_command(&command, &scratch, job)) {
            earnest::bot::Ended::Status(status, said) => (status, said),
            other => panic!("{other:?}"),
        }
    };
    let run = |line: &str| through("\"$@\"; exit $?", line);
    // Nobody runs: it does not become the owner, by whose settings it would be bound.
    let keys =
        ["job", "person", "hour", "day"].map(|key| format!("--set bot.per_{key}_sats=90000"));
    let rich = format!("--set bot.at_risk_sats=90000 {}", keys.join(" "));
    let (status, said) =
        run(&format!("accept c0ffee11 --yes {}", rich.replace("job_sats=9", "job_sats=5")));
    assert_ne!(status, 0, "{said}");
    assert!(said.contains("a bot's command starts none"), "{said}");
    let (status, said) = run("run");
    assert_eq!(status, 3, "{said}");
    scene::play(&home.data().join("regtest"), || {
        let (status, said) = run("accept c0ffee11 --yes");
        assert_eq!(status, 3, "{said}");
        assert!(said.contains("One job may cost 5,000 sat by automation"), "{said}");
        // Nor does it get out of it by leaving away what it was given.
        let (status, said) = through("env -i \"$@\"; exit $?", "accept c0ffee11 --yes");
        assert_eq!(status, 3, "{said}");
        let (status, said) = run("jobs");
        assert_eq!(status, 0, "looking is free: {said}");
        // A person is not bound.
        home.run("accept c0ffee11 --yes --network regtest --chain-url http://127.0.0.1:1").ok();
    });
}

#[test]
fn keys_are_made_once() {
    let home = Home::new();
    let made = home.run("init --plain --no-input --json").done();
    let (npub, keys) = (made["npub"].as_str().unwrap(), made["keys"].as_str().unwrap());
    assert!(npub.starts_with("npub1"));
    assert_eq!(made["encrypted"], false);
    assert_eq!(made.get("phrase"), None, "nobody asked for it");
    assert_eq!(fs::metadata(keys).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(home.data()).unwrap().permissions().mode() & 0o777, 0o700);
    let before = fs::read(keys).unwrap();
    let again = home.run("init --plain --no-input --json");
    assert_eq!(again.failed(1)["code"], "keys-exist");
    assert_eq!(fs::read(keys).unwrap(), before);
}

#[test]
fn a_phrase_restores_and_its_mistakes_are_named_by_place() {
    let home = Home::new();
    let made = home.run("init --plain --show-phrase --json").done();
    let phrase = made["phrase"].as_str().unwrap();
    let other = Home::new();
    let restored = other.feed("init --restore --plain --json", phrase).done();
    assert_eq!(restored["npub"], made["npub"]);
    assert_eq!(restored["restored"], true);

    // The second test vector of NIP-06.
    let words = "what bleak badge arrange retreat wolf trade produce cricket blur garlic valid proud \
                 rude strong choose busy staff weather area salt hollow arm fade";
    let key = "d41b22899549e1f3d335a31002cfd382174006e166d3e658e3a5eecdb6463573";
    let nip06 = Home::new().feed("init --restore --plain --json", words).done();
    assert_eq!(nip06["npub"], earnest::app::npub(&key.parse().unwrap()));

    for (text, why) in [
        (words.replace("badge", "badger"), "Word 3 is not one of"),
        (words.replace("bleak badge", "badge bleak"), "do not belong together"),
        ("what bleak".to_owned(), "24 words, not 2"),
    ] {
        let home = Home::new();
        let ended = home.feed("init --restore --plain --json", &text);
        let said = ended.failed(1)["message"].as_str().unwrap().to_owned();
        assert!(said.contains(why), "{said}");
        assert!(!ended.all().contains("badge"), "no word of a phrase in an error");
        assert!(!home.data().join("keys.json").exists());
    }
}

#[test]
fn a_passphrase_locks_the_keys() {
    let home = Home::new();
    home.secret("right", "correct horse\n");
    home.secret("wrong", "battery staple\n");
    home.file("gig.toml", &GIG.replace("inputs = [\"cats.txt\"]\n", ""));
    assert_eq!(home.run("init --no-input --json").failed(2)["code"], "needs-passphrase");
    let both = home.run("init --plain --passphrase-file right --json");
    assert_eq!(both.failed(2)["code"], "usage");
    assert_eq!(home.run("init --passphrase-file right --json").done()["encrypted"], true);

    let post = "post gig.toml --dry-run --json";
    assert_eq!(home.run(post).failed(2)["code"], "needs-passphrase");
    let wrong = home.run(&format!("{post} --passphrase-file wrong"));
    assert_eq!(wrong.failed(1)["code"], "wrong-passphrase");
    assert!(!wrong.all().contains("battery"), "{}", wrong.all());
    assert_eq!(home.run(&format!("{post} --passphrase-file right")).done()["dry_run"], true);
    fs::set_permissions(home.dir().join("right"), fs::Permissions::from_mode(0o644)).unwrap();
    let open = home.run(&format!("{post} --passphrase-file right"));
    assert!(open.failed(1)["message"].as_str().unwrap().contains("can be read by other users"));
}

#[test]
fn plain_keys_that_others_can_read_are_not_used() {
    let home = Home::with_keys();
    home.file("gig.toml", &GIG.replace("inputs = [\"cats.txt\"]\n", ""));
    let keys = home.data().join("keys.json");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    let ended = home.run("post gig.toml --dry-run --json");
    assert_eq!(ended.failed(1)["code"], "keys-open-to-others");
    assert_eq!(ended.out, "");
}

#[test]
fn an_identity_is_imported() {
    // The test vectors of NIP-19 and NIP-49.
    let nsec = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5";
    let npub = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";
    let home = Home::new();
    home.secret("nsec", nsec);
    let made = home.run("init --plain --import-nsec nsec --json").done();
    assert_eq!((made["npub"].as_str(), &made["imported"]), (Some(npub), &Value::Bool(true)));

    let home = Home::new();
    let sealed = "ncryptsec1qgg9947rlpvqu76pj5ecreduf9jxhselq2nae2kghhvd5g7dgjtcxfqtd67p9m0w57lspw8gsq6yphnm8623nsl8xn9j4jdzz84zm3frztj3z7s35vpzmqf6ksu8r89qk5z2zxfmu5gv8th8wclt0h4p";
    home.secret("pass", "nostr");
    home.secret("other", "bitcoin");
    home.secret("sealed", sealed);
    let init = "init --plain --import-nsec sealed --json";
    assert_eq!(home.run(init).failed(1)["code"], "import");
    let wrong = home.run(&format!("{init} --import-passphrase-file other"));
    assert_eq!(wrong.failed(1)["code"], "import");
    assert!(!wrong.all().contains("ncryptsec1"), "{}", wrong.all());
    home.run(&format!("{init} --import-passphrase-file pass")).done();
    let rubbish = Home::new().feed("init --plain --import-nsec - --json", "nsec1rubbish");
    assert!(!rubbish.all().contains("rubbish"), "{}", rubbish.all());
    assert_eq!(rubbish.failed(1)["code"], "import");
}

#[test]
fn a_dry_run_shows_what_strangers_will_see() {
    let home = Home::with_keys();
    home.file("gig.toml", GIG);
    home.file("cats.txt", "1\n2\n3\n");
    let ended =
        home.run("post gig.toml --dry-run --network regtest --relay ws://127.0.0.1:9 --json");
    let shown = ended.done();
    let tags: Vec<Vec<&str>> = shown["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect())
        .filter(|tag: &Vec<&str>| {
            !["d", "published_at", "expires_at", "expiration"].contains(&tag[0])
        })
        .collect();
    let head = &tags[..tags.len() - 1];
    assert_eq!(
        head,
        [
            vec!["title", "Label 300 cats"],
            vec!["summary", "Cats"],
            vec!["price", "21000", "SAT"],
            vec!["status", "active"],
            vec!["s", "open"],
            vec!["n", "regtest"],
            vec!["y", "earnest"],
            vec!["L", "earnest"],
            vec!["l", "request", "earnest"],
            vec!["l", "file", "earnest"],
            vec!["t", "cats"],
        ]
    );
    let mut terms: Value = serde_json::from_str(tags[tags.len() - 1][1]).unwrap();
    assert_eq!(terms["inbox"]["relays"][0], "ws://127.0.0.1:9");
    terms["inbox"] = Value::Null;
    assert_eq!(
        terms,
        serde_json::json!({
            "v": 1, "work": "file", "modes": ["sealed"], "slots": 1, "price": "21000000",
            "max_bytes": 10_485_760, "deadlines": {"deliver": 3_600, "pay": 86_400}, "pow": 12,
            "inbox": null,
            "inputs": [{
                "blob": blake3::hash(b"1\n2\n3\n").to_string(), "size": 6, "name": "cats.txt"
            }],
        })
    );
    assert_eq!(shown["content"], "# Task\nSay what you see.");
    assert!(ended.err.contains("Nothing was published."), "{}", ended.err);
    // For a person: the same, in words.
    let said = home.run("post gig.toml --dry-run --network regtest --relay ws://127.0.0.1:9").ok();
    assert!(said.contains("title        Label 300 cats\n"), "{said}");
    assert!(said.ends_with("\n# Task\nSay what you see.\n"), "{said}");
    assert!(!home.data().join("regtest").exists(), "a dry run leaves nothing behind");
}

#[test]
fn mistakes_in_a_gig_have_a_place_and_refusals_a_code() {
    let home = Home::with_keys();
    home.file("gig.toml", "title = \"T\"\nprice = \"much\"\n");
    let said = home.run("post gig.toml --dry-run --json");
    let said = said.failed(2)["message"].as_str().unwrap().to_owned();
    assert!(said.starts_with("gig.toml:2:9: this must be a price"), "{said}");
    let stdin = home.feed("post - --dry-run --json", "title = 1\nprice = 5000\n");
    assert!(stdin.failed(2)["message"].as_str().unwrap().starts_with("stdin:1:9: "));
    let cheap = home.feed("post - --dry-run --json", "title = \"T\"\nprice = 5\n");
    let cheap = cheap.failed(3);
    assert_eq!((&cheap["code"], &cheap["money"]), (&"price-too-small".into(), &"untouched".into()));
    home.file("none.toml", GIG);
    let none = home.run("post none.toml --dry-run --json").failed(1);
    assert!(none["message"].as_str().unwrap().contains("`cats.txt` is not there"));
    assert_eq!(home.run("post --json").failed(2)["code"], "no-gig");
    let alone = home.run("post gig.toml --network regtest --json");
    assert_eq!(alone.failed(2)["code"], "no-relay");
    let locked = Home::new();
    locked.file("gig.toml", "title = \"T\"\nprice = 5000\n");
    assert_eq!(locked.run("post gig.toml --dry-run --json").failed(4)["code"], "no-keys");
}

#[test]
fn an_empty_book_is_no_failure_and_has_one_owner() {
    let home = Home::new();
    let empty = home.run("gigs --offline --network regtest");
    assert_eq!(empty.ok(), "");
    assert!(empty.err.contains("No gig fits."), "{}", empty.err);
    assert_eq!(home.run("gigs --offline --network regtest --json").ok(), "");
    let ended = home.run("show 7f3a --offline --network regtest --json");
    assert_eq!(ended.failed(4)["code"], "not-found");
    let all = "7f3a".repeat(16);
    home.run(&format!("show {all} --offline --network regtest --json")).failed(4);

    let owner = earnest::store::Owner::take(&home.data().join("regtest"), "the other one").unwrap();
    let ended = home.run("gigs --offline --network regtest --json");
    let locked = ended.failed(7);
    assert_eq!(locked["code"], "locked");
    assert!(locked["message"].as_str().unwrap().contains("the other one"));
    drop(owner);
    home.run("gigs --offline --network regtest").ok();
}

#[test]
fn a_proof_is_judged_offline() {
    let home = Home::new();
    let case = proof::Case::new();
    home.file("guilty.json", &case.guilty);
    home.file("event.json", &case.event);
    home.file("honest.json", &case.honest);
    home.file("role.json", &case.role);
    home.file("huge.json", &"x".repeat(300_000));
    home.file("rubbish.json", "{\"v\":1}");
    for file in ["guilty.json", "event.json"] {
        let judged = home.run(&format!("verify-proof {file} --json")).done();
        assert_eq!(judged["verdict"], "guilty");
        assert_eq!(judged["identity"], case.identity.as_str());
        assert_eq!(judged["job"], case.job.as_str());
        assert!(judged["reason"].as_str().unwrap().contains("does not open"));
    }
    assert!(home.run("verify-proof guilty.json").ok().starts_with("guilty: npub1"));
    for (file, code) in [
        ("honest.json", "proof.opens"),
        ("role.json", "proof.unsigned"),
        ("rubbish.json", "bad-field"),
        ("huge.json", "too-large"),
    ] {
        let ended = home.run(&format!("verify-proof {file} --json"));
        let judged: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(ended.status, 1, "{file}");
        assert_eq!((&judged["verdict"], &judged["code"]), (&"invalid".into(), &code.into()));
        assert_eq!((&judged["identity"], &judged["job"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(home.run("verify-proof none.json --json").failed(4)["code"], "unreadable");
    assert!(!home.data().exists(), "it needs no data directory");
}

#[test]
fn the_doctor_says_what_to_do() {
    let home = Home::new();
    let ended = home.run("doctor --offline --json");
    assert_eq!(ended.status, 1);
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(said["ok"], false);
    let check = |said: &Value, name: &str| {
        let checks = said["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap().clone()
    };
    assert_eq!(check(&said, "keys")["remedy"], "Run: earnest init");

    let home = Home::with_keys();
    assert_eq!(home.run("doctor --offline --json").done()["ok"], true);
    let nothing =
        "doctor --json --network regtest --relay ws://127.0.0.1:1 --chain-url http://127.0.0.1:1";
    let ended = home.run(nothing);
    assert_eq!(ended.status, 1);
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(check(&said, "chain")["health"], "fail");
    assert_eq!(check(&said, "relay")["health"], "fail");
    assert_eq!(check(&said, "lsp")["health"], "warn");
    assert_eq!(check(&said, "liquidity")["health"], "warn");
    fs::set_permissions(home.data(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(check(&home.run("doctor --offline --json").done(), "data-dir")["health"], "warn");
}

#[test]
fn settings_say_where_they_come_from() {
    let home = Home::new();
    fs::create_dir_all(home.data()).unwrap();
    let secret = "[chain]\nkind = \"bitcoind\"\nuser = \"u\"\npassword = \"hunter2\"\n";
    fs::write(home.data().join("config.toml"), secret).unwrap();
    let ended = home.run("config --json --network regtest");
    let rows: Vec<Value> = ended.ok().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let row = |key: &str| rows.iter().find(|row| row["key"] == key).unwrap();
    assert_eq!(
        (&row("network")["value"], &row("network")["source"]),
        (&"regtest".into(), &"flag".into())
    );
    assert_eq!(row("chain.password")["value"], "***");
    assert!(row("chain.user")["source"].as_str().unwrap().ends_with("config.toml:3"));
    assert!(!ended.all().contains("hunter2"));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let home = Home::new();
    let ended = home.command("help config --json").stdout(writer).output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.is_empty());
}

#[test]
fn what_one_posts_another_finds() {
    let world = shell::Served::start();
    let (requester, worker) = (Home::with_keys(), Home::with_keys());
    let joined = requester.join(&world);
    requester.file("gig.toml", &GIG.replace("inputs = [\"cats.txt\"]\n", ""));
    let posted = requester.run(&format!("post gig.toml {joined} --json")).done();
    assert_eq!(posted["published"], true);
    let id = posted["gig"].as_str().unwrap();

    let joined = worker.join(&world);
    let found = worker.run(&format!("gigs cats price<50k {joined} --json")).done();
    assert_eq!((&found["id"], &found["title"]), (&id.into(), &"Label 300 cats".into()));
    let table = worker.run(&format!("gigs {joined}")).ok();
    assert!(table.contains("21,000 sat") && table.contains(&id[..8]), "{table}");
    // It is known from now on, by the beginning of its id and without a network.
    let shown = worker.run(&format!("show {} --offline --network regtest", &id[..8])).ok();
    assert!(shown.contains("title    Label 300 cats\n"), "{shown}");
    let health = worker.run(&format!("doctor {joined} --json")).done();
    assert_eq!(health["ok"], true);
    let checks = health["checks"].as_array().unwrap();
    let can = checks.iter().find(|check| check["name"] == "liquidity").unwrap();
    assert_eq!(can["health"], "ok", "{can}");

    // A relay that takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("ws://{}", silent.local_addr().unwrap());
    let other = Home::with_keys();
    let joined = other.join(&world).replace(world.at["relay"].as_str().unwrap(), &silent);
    other.file("gig.toml", "title = \"T\"\nprice = 5000\n");
    let late = other.run(&format!("post gig.toml {joined} --wait 1 --json"));
    assert_eq!(late.failed(6)["code"], "not-yet-published");
    // It was the owner for its time, and leaves with something in flight.
    let said = &late.err;
    assert!(
        said.contains("one message is not sent yet") && said.contains("`earnest run`"),
        "{said}"
    );
    let ended = other.interrupt(&format!("gigs {joined} --wait 60 --json"), "data/regtest/node");
    assert_eq!(ended.failed(130)["code"], "interrupted");
    other.run("gigs --offline --network regtest").ok();
    world.end();
}

/// Asks again until the record is as wanted.
fn until(home: &Home, line: &str, is: impl Fn(&Value) -> bool) -> Value {
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(120);
    loop {
        let ended = home.run(line);
        let last = ended.ok().lines().map(|line| serde_json::from_str(line).unwrap()).find(&is);
        if let Some(found) = last {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "{line}: {}", ended.all());
    }
}

#[test]
fn money_moves_by_hand_and_once() {
    let world = shell::Served::start();
    let (payer, payee) = (Home::with_keys(), Home::with_keys());
    let (pays, gets) = (payer.join(&world), payee.join(&world));
    let lsp = world.at["lsp"].as_str().unwrap();
    let paying = Running::start(&payer, &pays);
    let getting = Running::start(&payee, &gets);
    let address = payer.run(&format!("wallet receive --onchain {pays} --json")).done();
    world.fund(address["address"].as_str().unwrap(), 300_000);
    until(&payer, &format!("wallet balance {pays} --json"), |has| {
        has["balances"]["onchain_spendable"] == "300000000"
    });
    let open = payer.run(&format!("wallet open {lsp} 200,000 --yes {pays} --json")).done();
    world.mine(6);
    until(&payer, &format!("wallet channels {pays} --json"), |channel| {
        channel["id"] == open["opening"] && channel["usable"] == true
    });

    let made =
        payee.run(&format!("wallet receive 20000 --uri --description cats {gets} --json")).done();
    assert_eq!((&made["amount"], &made["lsp_fee"]), (&"20000000".into(), &"200000".into()));
    let invoice = made["invoice"].as_str().unwrap();
    let dear = payer.run(&format!("wallet pay {invoice} 5 --yes {pays} --json"));
    let dear = dear.failed(1)["message"].as_str().unwrap().to_owned();
    assert!(dear.contains("asks for 20,000 sat") && dear.ends_with("No money moved."), "{dear}");
    let uri = made["uri"].as_str().unwrap();
    assert!(uri.starts_with("bitcoin:bcrt1") && uri.contains("?amount=0.0002&"), "{uri}");
    let paid = payer.run(&format!("wallet pay {uri} --yes {pays} --json")).done();
    assert_eq!((&paid["paid"], &paid["earlier"]), (&true.into(), &false.into()));
    let again = payer.feed(&format!("wallet pay - --yes {pays} --json"), invoice);
    assert_eq!(again.done()["earlier"], true);
    assert!(again.err.contains("Nothing was paid now."), "{}", again.err);
    let has = payee.run(&format!("wallet history {gets} --json")).done();
    assert_eq!(
        (&has["kind"], &has["amount"], &has["fee"]),
        (&"jit".into(), &"19800000".into(), &"200000".into())
    );
    let said = payee.run(&format!("wallet balance {gets}")).ok();
    assert!(said.contains("in channels") && said.contains("19,800 sat"), "{said}");
    let much = payer.run(&format!(
        "wallet pay bitcoin:{}?amount=21 --yes {pays} --json",
        address["address"].as_str().unwrap()
    ));
    let much = much.failed(5);
    assert_eq!((&much["code"], &much["money"]), (&"no-funds".into(), &"untouched".into()));
    let gone = payer.run(&format!("wallet close ffffffff --yes {pays} --json"));
    assert_eq!(gone.failed(4)["code"], "no-channel");
    let id = open["opening"].as_str().unwrap();
    let closed = payer.run(&format!("wallet close {} --yes {pays} --json", &id[..8])).done();
    assert_eq!(closed["closing"], id);
    drop((paying, getting));
    world.end();
}

#[test]
fn the_manual_and_the_completions_name_every_verb() {
    let home = Home::new();
    let verbs = ["init", "post", "wallet", "relay", "relay-policy", "completions", "man", "help"];
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = home.run(&format!("completions {shell}")).ok();
        // The shell asks the program itself: see tests/cli/schema.rs for what it answers.
        assert!(script.contains("COMPLETE") && script.contains("earnest"), "{shell}: {script}");
    }
    let page = home.run("man").ok();
    assert!(page.contains(".TH earnest 1"), "{page}");
    for verb in verbs {
        assert!(page.contains(&verb.replace('-', "\\-")), "{verb}");
    }
    let written = home.run("man --out pages").ok();
    assert!(written.contains("pages/earnest-wallet-pay.1"), "{written}");
    let page = fs::read_to_string(home.dir().join("pages/earnest-wallet-pay.1")).unwrap();
    assert!(page.contains("BOLT 12") && page.contains("max\\-fee"), "{page}");
    assert!(!home.dir().join("pages/earnest-wallet-help.1").exists());
    home.file("taken", "");
    let ended = home.run("man --out taken --json");
    assert!(ended.failed(1)["message"].as_str().unwrap().contains("cannot be written"));
}

#[test]
fn a_relay_runs_until_it_is_told_to_stop_and_a_plugin_answers_line_by_line() {
    let home = Home::new();
    let shipped = home.run("relay --print-config").ok();
    assert_eq!(shipped.trim_end(), earnest::relay::DEFAULT.trim_end());
    home.file("relay.toml", "[listen]\naddress = \"127.0.0.1:0\"\n[storage]\nmax_mib = 64\n");
    let printed = home.run("relay --config relay.toml --print-config").ok();
    let settings = earnest::relay::Settings::read(&printed).unwrap();
    assert_eq!(settings.storage.max_mib, 64);
    let ended = home.interrupt("relay --config relay.toml --json", "earnest-relay/data.mdb");
    let ready: Value = serde_json::from_str(ended.out.trim()).unwrap();
    assert_eq!(ended.status, 0, "{}", ended.all());
    assert!(ready["relay"].as_str().unwrap().starts_with("ws://127.0.0.1:"), "{ready}");

    let id = "ab".repeat(32);
    let bad = format!("{{\"type\":\"new\",\"event\":{{\"id\":\"{id}\"}}}}");
    let lines = format!("garbage\n{bad}\n\n{}\n{bad}\n", "x".repeat(3 << 20));
    let ended = home.feed("relay-policy --config relay.toml", &lines);
    let verdict = format!(
        "{{\"id\":\"{id}\",\"action\":\"reject\",\"msg\":\"invalid: this is no event\"}}\n"
    );
    assert_eq!(ended.ok(), format!("{verdict}{verdict}"));
    assert!(ended.err.contains("no request") && ended.err.contains("was skipped"), "{}", ended.err);
}

#[test]
fn a_second_run_is_told_that_the_data_is_taken() {
    let (world, home) = (Served::start(), Home::with_keys());
    let flags = home.join(&world);
    let _first = Running::start(&home, &flags);
    let second = home.run(&format!("run --json {flags}")).failed(7);
    assert_eq!((&second["code"], &second["money"]), (&"locked".into(), &"untouched".into()));
    let said = second["message"].as_str().unwrap();
    assert!(said.contains("runs in") && said.contains("nothing to do"), "{said}");
}

#[test]
fn a_command_without_a_verb_is_told_what_there_is() {
    let ended = Home::new().command("").output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("Usage: earnest"), "{said}");
}

#[test]
fn a_dry_run_shows_every_milestone_and_a_mistake_in_one_has_a_place() {
    let home = Home::with_keys();
    let gig = "title = \"Write\"\n\n[[milestone]]\ntitle = \"Outline\"\nprice = \"4000sat\"\n\n\
               [[milestone]]\ntitle = \"Text\"\nprice = \"5000sat\"\nmode = \"escrow\"\n";
    home.file("gig.toml", gig);
    let post = "post gig.toml --dry-run --network regtest --relay ws://127.0.0.1:9 --json";
    let shown = home.run(post).done();
    let tag = |name: &str| {
        let tags = shown["tags"].as_array().unwrap();
        tags.iter().find(|tag| tag[0] == name).unwrap()[1].as_str().unwrap().to_owned()
    };
    assert_eq!(tag("price"), "9000", "the price of all");
    let offer: Value = serde_json::from_str(&tag("terms")).unwrap();
    assert_eq!(offer["modes"], serde_json::json!(["sealed", "escrow"]));
    let parts = offer["milestones"].as_array().unwrap();
    let said: Vec<_> = parts.iter().map(|m| (&m["title"], &m["price"], &m["mode"])).collect();
    assert_eq!(said[0], (&"Outline".into(), &"4000000".into(), &"sealed".into()));
    assert_eq!(said[1], (&"Text".into(), &"5000000".into(), &"escrow".into()));
    home.file("gig.toml", &gig.replace("4000sat", "999sat"));
    assert_eq!(home.run(post).failed(3)["code"], "price-too-small");
    home.file("gig.toml", &format!("price = 9000\n{gig}"));
    let said = home.run(post).failed(2);
    assert!(said["message"].as_str().unwrap().starts_with("gig.toml:1:9: "), "{said}");
}

//! Hostile words from the other side, and from somebody nobody knows, through every verb, notice, file
//! name, log and screen of the real program: nothing moves a cursor, turns text around, writes to the
//! clipboard, adds a line that says something else, or cannot be seen.
//!
//! Every single screen at every size is in `tests/tui/hostile.rs`, hostile records in
//! `tests/engine/strangers.rs`, hostile bytes in `tests/wire.rs` and `tests/relays.rs`.

#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]

#[expect(dead_code, reason = "shared with tests/peers.rs, which uses more of it")]
#[path = "peers/peer.rs"]
mod peer;
#[expect(dead_code, reason = "shared with tests/cli.rs, which uses more of it")]
#[path = "cli/shell.rs"]
mod shell;
#[expect(dead_code, reason = "shared with tests/pty.rs, which uses more of it")]
#[path = "pty/tty.rs"]
mod tty;

use std::fs;
use std::path::Path;

use futures::{SinkExt as _, StreamExt as _};
use nostr::{EventBuilder, JsonUtil as _, Keys, Kind, Tag};
use peer::{Peer, has, text, until};
use serde_json::Value;
use shell::Served;
use tokio_tungstenite::tungstenite::Message;
use tty::Tty;

/// Clipboard, title, clear, colour, C1, turned text, nothing to see, a line of its own, a bell.
const EVIL: &str = "\u{1b}]52;c;cm0gLXJm\u{7}\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[31m\u{9b}31m\u{202e}00012\u{202c}\u{2066}x\u{2069}\
                    a\u{200b}b\u{2060}c\u{feff}\u{e0041}\u{3164}\r\nPAID 1 BTC. \u{85}\u{2028}ok\u{8}\u{7f}";

/// Nothing that moves a cursor, turns text around or cannot be seen.
fn wrong(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{3164}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

#[track_caller]
fn clean(what: &str, text: &str) {
    if let Some(c) = text.chars().find(|c| wrong(*c)) {
        panic!("{what} shows {c:?} in {text:?}");
    }
    // JSON may hide it in an escape, which its reader takes out again.
    for escape in ["\\u001b", "\\u009b", "\\u202e", "\\u0007", "\\u200b", "\\b"] {
        assert!(!text.contains(escape), "{what} shows {escape} in {text}");
    }
}

/// A line that a stranger wrote begins none of ours.
#[track_caller]
fn no_line_of_its_own(what: &str, text: &str) {
    let own = text.lines().find(|line| line.trim_start().starts_with("PAID"));
    assert_eq!(own, None, "{what}: {text}");
}

/// Both forms of every verb that shows what others said.
fn look(peer: &Peer, job: Option<&str>, gig: &str) {
    let job = job.unwrap_or("none");
    let verbs: [&[&str]; 9] = [
        &["gigs"],
        &["gigs", "--all"],
        &["show", gig],
        &["jobs"],
        &["jobs", "all"],
        &["job", job],
        &["files", job],
        &["people"],
        &["relays"],
    ];
    for args in verbs {
        for ended in [peer.verb(args), peer.told(args)] {
            clean(&ended.line, &ended.all());
            // What may have several lines (a gig's text, a message) is set off from what we say.
            if !["show", "job"].contains(&args[0]) {
                no_line_of_its_own(&ended.line, &ended.all());
            }
        }
    }
}

/// Every log, and every name of a file, in a data directory.
fn search(dir: &Path) -> usize {
    let mut logs = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        clean("a name", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            logs += search(&path);
        } else if path.extension().is_some_and(|e| e == "log") {
            clean(&path.display().to_string(), &fs::read_to_string(&path).unwrap());
            logs += 1;
        }
    }
    logs
}

/// Publishes a listing that no earnest would: an honest one's tags, with other words in them.
fn publish_evil(relay: &str, shown: &Value) {
    let tags = shown["tags"].as_array().unwrap().iter().map(|tag| {
        let mut parts: Vec<&str> =
            tag.as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        if ["title", "summary"].contains(&parts[0]) {
            parts[1] = EVIL;
        }
        Tag::parse(parts).unwrap()
    });
    let content = format!(
        "# {EVIL}\n[{EVIL}](https://example.org/{EVIL})\n&#x1b;[2J&#x202e;\n```\n{EVIL}\n```"
    );
    let keys = Keys::generate();
    let event =
        EventBuilder::new(Kind::from(30_402), content).tags(tags).sign_with_keys(&keys).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut socket, _) = tokio_tungstenite::connect_async(relay).await.unwrap();
        socket.send(Message::text(format!("[\"EVENT\",{}]", event.as_json()))).await.unwrap();
        loop {
            let said = socket.next().await.unwrap().unwrap().into_text().unwrap();
            if said.as_str().starts_with("[\"OK\"") {
                assert!(said.as_str().contains(",true,"), "{said}");
                return;
            }
        }
    });
}

#[test]
fn what_strangers_say_is_only_ever_text() {
    let world = Served::start();
    let mut ann = Peer::new("ann", &world);
    let mut mal = Peer::new("mal", &world);
    ann.start();
    mal.start();
    ann.fund(&world, 200_000);
    let watching = ann.watch();

    // ------------------------------------------------ a listing by nobody
    mal.home.file(
        "evil.toml",
        "title = \"Evil\"\nsummary = \"S\"\nprice = 30000\nmodes = [\"direct\"]\n",
    );
    let shown = mal.verb(&["post", "evil.toml", "--dry-run"]).done();
    publish_evil(world.at["relay"].as_str().unwrap(), &shown);
    let mut gig = String::new();
    until("the listing is in the book", || {
        let rows = ann.rows(&["gigs"]);
        gig = rows.first().map(|row| text(row, "id")).unwrap_or_default();
        !gig.is_empty()
    });
    assert!(
        ann.told(&["show", &gig[..8]]).ok().contains("PAID 1 BTC"),
        "its words do come through"
    );
    look(&ann, None, &gig[..8]);
    let bid = ann.told(&["bid", &gig[..8]]);
    clean(&bid.line, &bid.all());

    // ------------------------------------------------ a worker who means harm
    ann.home.file(
        "gig.toml",
        "title = \"Greet me\"\nprice = 30000\nmodes = [\"direct\"]\ndeliver = \"1h\"\npay = \"1h\"\n",
    );
    let greet = text(&ann.verb(&["post", "gig.toml"]).done(), "gig");
    until("mal sees the gig", || has(&mal.rows(&["gigs", "greet"]), "id", &greet));
    let bid = text(&mal.verb(&["bid", &greet[..8], "--message", EVIL]).done(), "job");
    until("the bid is with ann", || has(&ann.rows(&["jobs", "bid"]), "id", &bid));
    look(&ann, Some(&bid[..8]), &greet[..8]);
    ann.verb(&["award", &bid[..8]]).done();
    until("mal has the job", || has(&mal.rows(&["jobs", "working"]), "id", &bid));
    mal.verb(&["note", &bid[..8], EVIL]).done();
    let name = "\u{202e}fdp.\u{1b}[31mexe\u{200b}\r\nPAID.txt";
    mal.home.file(name, EVIL);
    mal.verb(&["deliver", &bid[..8], name, "--message", EVIL]).done();
    until("ann has the delivery", || {
        ann.verb(&["job", &bid[..8]]).done()["job"]["delivery"]["inspected"] == true
    });
    look(&ann, Some(&bid[..8]), &greet[..8]);
    let copied = ann.told(&["files", &bid[..8], "--out", "work"]);
    clean(&copied.line, &copied.all());
    search(&ann.home.dir().join("work"));

    // ------------------------------------------------ on the screen
    let mut tty = Tty::start(&ann.home, &ann.flags(), &[]);
    tty.sees("1 Gigs").sees("✓ relays");
    for keys in ["\r", "\x1b", "3", "\r", "\x1b", "5", "7", "\r", "\x1b", "1"] {
        tty.types(keys).sees("8 Settings");
        let text = tty.text();
        clean("the screen", &text);
        no_line_of_its_own("the screen", &text);
    }
    tty.types("q");
    assert_eq!(tty.ended(), 0, "{}", tty.text());
    let raw = tty.raw();
    for taken in ["\u{1b}]52", "\u{1b}]0;owned", "\u{202e}"] {
        assert!(!raw.contains(taken), "the terminal was sent {taken:?}");
    }

    // ------------------------------------------------ and a requester who does
    ann.verb(&["reject", &bid[..8], "--reason", EVIL]).done();
    until("mal hears why", || mal.said(&bid).contains("PAID 1 BTC"));
    look(&mal, Some(&bid[..8]), &greet[..8]);
    mal.verb(&["cancel", &bid[..8], "--reason", EVIL]).done();
    until("ann hears of the end", || has(&ann.rows(&["jobs", "cancelled"]), "id", &bid));
    look(&ann, Some(&bid[..8]), &greet[..8]);

    for line in watching.end() {
        clean("watch", &line.to_string());
    }
    for peer in [&ann, &mal] {
        assert!(search(&peer.home.data()) > 0, "there are logs to look at");
    }
    ann.end();
    mal.end();
    world.end();
}

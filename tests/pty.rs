//! The real binary in a terminal of its own: it takes the terminal, and gives it back whatever happens.

#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]

#[path = "pty/asked.rs"]
mod asked;
#[path = "pty/tty.rs"]
mod tty;

#[expect(dead_code, reason = "the shell of the verbs; only some of it is needed here")]
#[path = "cli/shell.rs"]
mod shell;

use std::cell::RefCell;
use std::collections::BTreeSet;

use shell::{Home, Served};
use tty::Tty;

/// Keys that a person presses in a minute without haste.
const A_MINUTE: usize = 120;

/// A person in a served sandbox, and the flags that make it so.
fn person() -> (Served, Home, String) {
    let world = Served::start();
    let home = Home::with_keys();
    let flags = home.join(&world);
    (world, home, flags)
}

#[test]
fn it_starts_is_used_and_quits() {
    let (world, home, flags) = person();
    let mut tty = Tty::start(&home, &flags, &[]);
    // The frame is there before the node is.
    tty.sees("1 Gigs").sees("? help");
    assert!(tty.taken());
    tty.sees("✓ relays 1/1").sees("✓ node");
    tty.types("4")
        .sees("can send")
        .types("?")
        .sees("Everywhere")
        .types("\x1b")
        .unseen("Everywhere");
    // Another verb finds this window and works through it.
    assert!(home.run(&format!("gigs --json {flags}")).ok().is_empty());
    tty.types("8").sees("theme").types("\r").sees("ember");
    tty.types("q");
    assert_eq!(tty.ended(), 0);
    assert!(!tty.taken() && tty.sane(), "{}", tty.text());
    assert!(tty.raw().contains("\u{1b}[?1049l"), "the alternate screen is left");
    // What was chosen is kept.
    let mut tty = Tty::start(&home, &flags, &[]);
    tty.types("8").sees("ember").types("q");
    let code = tty.ended();
    assert_eq!(code, 0, "{}", tty.raw());
    world.end();
}

#[test]
fn a_storm_of_sizes_ends_in_the_last_one() {
    let (_world, home, flags) = person();
    let mut tty = Tty::start(&home, &flags, &[]);
    tty.sees("1 Gigs");
    for n in 0..80u16 {
        tty.size(2 + n * 37 % 250, 2 + n * 13 % 70);
    }
    tty.size(100, 30);
    tty.until("the frame fits", |screen| {
        let rows: Vec<String> = screen.rows(0, 100).collect();
        rows.len() == 30 && rows[0].contains("8 Settings") && rows[29].contains("? help")
    });
    tty.size(20, 6);
    tty.sees("need 40x10, have");
    tty.types("q");
    assert_eq!(tty.ended(), 0);
}

#[test]
fn a_bug_gives_the_terminal_back() {
    let (_world, home, flags) = person();
    let mut tty = Tty::start(&home, &flags, &[("EARNEST_BREAK_ON_F12", "1")]);
    tty.sees("1 Gigs").types("\x1b[24~");
    assert_ne!(tty.ended(), 0);
    assert!(!tty.taken() && tty.sane(), "{}", tty.text());
    let text = tty.text();
    assert!(text.contains("F12 was pressed") && text.contains("No money is lost by it"), "{text}");
}

#[test]
fn it_is_suspended_and_comes_back() {
    let (_world, home, flags) = person();
    let mut tty = Tty::start(&home, &flags, &[]);
    tty.sees("1 Gigs").types("3").sees("No jobs yet").types("\x1a").stopped();
    assert!(!tty.taken() && tty.sane(), "{}", tty.text());
    tty.signal("-CONT").sees("No jobs yet");
    tty.until("the terminal is taken again", |screen| screen.alternate_screen());
    tty.types("1").sees("No gig").types("q");
    assert_eq!(tty.ended(), 0);
    assert!(!tty.taken() && tty.sane());
}

#[test]
fn a_signal_ends_it_in_order() {
    for signal in ["-TERM", "-INT", "-HUP"] {
        let (_world, home, flags) = person();
        let mut tty = Tty::start(&home, &flags, &[]);
        tty.sees("1 Gigs").signal(signal);
        assert_eq!(tty.ended(), 0, "{signal}");
        assert!(!tty.taken() && tty.sane(), "{signal}: {}", tty.text());
    }
}

#[test]
fn who_has_no_keys_is_told_and_asked() {
    let home = Home::new();
    let mut tty = Tty::start(&home, "--network regtest", &[]);
    tty.sees("You have no keys here yet").types("n\r");
    assert_eq!(tty.ended(), 4);
    assert!(tty.text().contains("earnest init"), "{}", tty.text());
    assert!(!home.data().join("keys.json").exists());
}

#[test]
fn without_a_terminal_it_prints_help() {
    let ended = Home::new().run("");
    assert_eq!(ended.status, 2);
    assert!(ended.all().contains("Usage: earnest"), "{}", ended.all());
}

/// The number behind these words on the screen.
fn number(tty: &Tty, words: &str) -> u64 {
    let text = tty.text();
    let row = text.lines().find_map(|row| row.split_once(words)).unwrap();
    let number = row.1.trim_start().split(' ').next().unwrap();
    number.replace(',', "").parse().unwrap_or_else(|_| panic!("no number after {words}:\n{text}"))
}

/// As people read it.
fn thousands(sats: u64) -> String {
    format!("{},{:03} sat", sats / 1_000, sats % 1_000)
}

/// Whether every gig in the list on the left is about sorting, and the selected one on the right, too.
fn only_sorting(screen: &vt100::Screen) -> bool {
    let text = screen.contents();
    let listed = text.lines().filter_map(|row| row.split_once("sat││"));
    let listed: Vec<&str> = listed.map(|(gig, _)| gig).collect();
    let all = !listed.is_empty() && listed.iter().all(|gig| gig.contains("Sort ten words"));
    all && text.contains("││ Sort ten words")
}

/// The ten words of a gig, once all of them stand on the screen. In the middle of a frame that moves them,
/// one stands there twice, or half of it.
fn ten_words(screen: &vt100::Screen) -> Option<BTreeSet<String>> {
    let text = screen.contents();
    let listed = text.lines().filter_map(|row| row.split('•').nth(1));
    let bare = listed.map(|rest| rest.trim_end_matches('│').trim());
    let words: Vec<_> = bare.filter(|word| word.bytes().all(|b| b.is_ascii_lowercase())).collect();
    let ten: BTreeSet<_> = words.iter().map(|word| (*word).to_owned()).collect();
    (text.contains("one a line:") && words.len() == 10 && ten.len() == 10).then_some(ten)
}

#[test]
fn a_newcomer_does_a_first_job_by_reading_the_screen() {
    let home = Home::new();
    let mut tty = Tty::start(&home, "sandbox --seed 5 --pace 2", &[]);
    // The way in is on the screen: / searches, b bids.
    tty.sees("1 Gigs").sees("b bid").sees("/ search");
    tty.types("/").types("#by-hand sort").until("it is found, and nothing else", only_sorting);
    // What it nets is known once the provider has named its terms.
    tty.types("\r").sees("at least").types("b").sees("Bid on a gig").types("\t\t\t\r");
    tty.types("3").sees("▸ working").sees("d deliver");
    let price = number(&tty, "you earn");
    // What is asked for stands below what can be done: to the end, and up from there.
    let words = RefCell::new(None);
    tty.types("\r").types("\x1b[F").by("k", "the ten words", |screen| {
        *words.borrow_mut() = ten_words(screen);
        words.borrow().is_some()
    });
    let words = words.take().unwrap();
    home.file("sorted.txt", &words.into_iter().collect::<Vec<_>>().join("\n"));
    tty.types("d").sees("The requester can read it at once");
    tty.types("sorted.txt").types("\t\t\r").types("g").sees("✓ settled");
    // The provider keeps a hundredth for the channel that the payment opened.
    let earned = thousands(price - price / 100);
    tty.sees(&format!("received       {earned}"));
    tty.types("4").sees(&format!("+{earned}")).sees(&format!("yours in all   {earned}"));
    assert_eq!(tty.leaves(), 0, "{}", tty.raw());
    assert!(!tty.taken() && tty.sane(), "{}", tty.text());
    assert!(tty.pressed() <= A_MINUTE, "{} keys", tty.pressed());
}

#[test]
fn a_newcomer_fills_a_wallet_from_the_faucet_and_posts_a_gig() {
    let home = Home::new();
    let mut tty = Tty::start(&home, "sandbox --seed 6 --pace 2", &[]);
    tty.sees("send 0 sat")
        .types("4")
        .sees("c play coins")
        .types("c")
        .sees("can spend      200,000 sat");
    // With whom a channel is opened stands there already.
    tty.types("n").sees("It is with your LSP").types("\t\t\r");
    tty.sees("Open this channel?").types("100000").answers("Open this channel?", "\r");
    tty.types("v").sees("✓ with");
    tty.types("2").types("n").sees("A new gig").types("Count the boats").types(&"\t".repeat(9));
    tty.types("One number for each picture.").types("\t\r").sees("p publishes").types("p");
    tty.sees("Publish this gig?")
        .until("it can be paid", |screen| !screen.contents().contains("are missing"));
    tty.answers("Publish this gig?", "y").sees("0 of 1 awarded");
    tty.types("1").types("/").types("count boats").sees("Count the b").sees("by             you");
    assert_eq!(tty.types("\r").leaves(), 0, "{}", tty.raw());
    assert!(!tty.taken() && tty.sane(), "{}", tty.text());
}

//! What a person is asked at a terminal: passphrases, words of the backup, a text in the editor.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::shell::Home;
use crate::tty::Tty;

const SECRET: &str = "correct-horse-battery";
const INIT: &str = "init --network regtest";
const GIG: &str = "title = \"Sort a list\"\ncontent = \"Each line once.\"\nprice = \"2000sat\"\n";

/// The words as they are shown, in order: `NN. word`, in columns.
fn phrase(tty: &mut Tty) -> Vec<String> {
    tty.sees("24. ").sees("Word ");
    let text = tty.text();
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut pieces = text.split_whitespace();
    while let Some(piece) = pieces.next() {
        if let Some(at) = piece.strip_suffix('.').and_then(|number| number.parse().ok()) {
            words.push((at, pieces.next().unwrap().to_owned()));
        }
    }
    words.sort();
    assert_eq!(words.iter().map(|(at, _)| *at).collect::<Vec<_>>(), (1..=24).collect::<Vec<_>>());
    words.into_iter().map(|(_, word)| word).collect()
}

/// Answers the next questions for words: with the right ones, or one that is none of them.
fn words(tty: &mut Tty, phrase: &[String], right: bool) {
    for _ in 0..3 {
        // A question is the last line, and ends there.
        tty.until("a word is asked for", |screen| {
            let text = screen.contents();
            text.lines().last().is_some_and(|line| asked(line).is_some())
        });
        let text = tty.text();
        let at = asked(text.lines().last().unwrap()).unwrap();
        let word = if right { phrase[at - 1].as_str() } else { "zzz" };
        tty.types(word);
        tty.until("it is echoed", |screen| screen.contents().trim_end().ends_with(word));
        tty.types("\n");
    }
}

fn asked(line: &str) -> Option<usize> {
    line.strip_prefix("Word ")?.trim_end().strip_suffix(':')?.parse().ok()
}

/// Keys under [`SECRET`], made by answering everything rightly: the words, and who that is in public.
fn made(home: &Home) -> (Vec<String>, String) {
    let mut tty = Tty::start(home, INIT, &[]);
    tty.whispers("New passphrase:", SECRET).whispers("Once more:", SECRET);
    let phrase = phrase(&mut tty);
    words(&mut tty, &phrase, true);
    assert_eq!(tty.ended(), 0, "{}", tty.text());
    assert!(!tty.raw().contains(SECRET), "a passphrase is not shown");
    (phrase, npub(&tty))
}

#[test]
fn the_words_are_shown_once_and_asked_for_until_they_are_right() {
    let home = Home::new();
    let mut tty = Tty::start(&home, INIT, &[]);
    tty.whispers("New passphrase:", SECRET).whispers("Once more:", SECRET);
    let phrase = phrase(&mut tty);
    assert!(!home.data().join("keys.json").exists(), "who stops here starts again from nothing");
    words(&mut tty, &phrase, false);
    tty.sees("is another one. Look again.");
    words(&mut tty, &phrase, true);
    assert_eq!(tty.ended(), 0, "{}", tty.text());
    let kept = fs::read_to_string(home.data().join("keys.json")).unwrap();
    assert!(!phrase.iter().any(|word| kept.contains(&format!(" {word} "))), "it is encrypted");
}

#[test]
fn nothing_is_made_for_who_did_not_write_them_down() {
    let home = Home::new();
    let mut tty = Tty::start(&home, INIT, &[]);
    tty.whispers("New passphrase:", SECRET).whispers("Once more:", SECRET);
    let phrase = phrase(&mut tty);
    for _ in 0..3 {
        words(&mut tty, &phrase, false);
    }
    assert_eq!(tty.ended(), 1, "{}", tty.text());
    assert!(tty.text().contains("Nothing was made"), "{}", tty.text());
    assert!(!home.data().join("keys.json").exists());
}

#[test]
fn a_passphrase_that_is_typed_twice_in_two_ways_makes_nothing() {
    let home = Home::new();
    let mut tty = Tty::start(&home, INIT, &[]);
    tty.whispers("New passphrase:", SECRET).whispers("Once more:", "something else");
    assert_ne!(tty.ended(), 0);
    assert!(!home.data().join("keys.json").exists());
    assert!(tty.sane() && !tty.raw().contains(SECRET));
}

/// Who they are in public, as the program says at the end.
fn npub(tty: &Tty) -> String {
    let text = tty.text();
    let at = text.find("npub1").unwrap_or_else(|| panic!("no key is named\n{text}"));
    text[at..].chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[test]
fn keys_open_by_the_passphrase_and_come_back_from_the_words() {
    let home = Home::new();
    let (phrase, who) = made(&home);
    home.file("gig.toml", GIG);
    let mut tty = Tty::start(
        &home,
        "post gig.toml --dry-run --network regtest --relay ws://127.0.0.1:9",
        &[],
    );
    tty.whispers("Passphrase:", "wrong").sees("That is not it.").whispers("Try again.", SECRET);
    assert_eq!(tty.ended(), 0, "{}", tty.text());
    assert!(tty.text().contains("Nothing was published."), "{}", tty.text());

    // On another machine; one word is typed wrongly at first.
    let mut tty = Tty::start(&Home::new(), &format!("{INIT} --restore"), &[]);
    let mut wrong = phrase.clone();
    wrong[4] = "notaword".into();
    tty.sees("The 24 words").types(&wrong.join(" ")).types("\n");
    tty.sees("word 5, `notaword`, is not in the list").types(&phrase.join(" ")).types("\n");
    tty.whispers("New passphrase:", SECRET).whispers("Once more:", SECRET);
    assert_eq!(tty.ended(), 0, "{}", tty.text());
    assert_eq!(npub(&tty), who);
}

/// A program that stands for somebody's editor: it puts this into the file.
fn editor(home: &Home, script: &str) -> String {
    let path = home.dir().join("editor");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path.display().to_string()
}

#[test]
fn a_gig_is_written_in_the_editor() {
    let home = Home::with_keys();
    home.file("written.toml", GIG);
    let writes = editor(&home, "cp written.toml \"$1\"");
    let flags = "post --dry-run --network regtest --relay ws://127.0.0.1:9";
    let mut tty = Tty::start(&home, flags, &[("EDITOR", &writes)]);
    assert_eq!(tty.ended(), 0, "{}", tty.text());
    assert!(tty.raw().contains("Posting: Sort a list, 2,000 sat"), "{}", tty.raw());

    // Left as it was, or with an error: nothing is posted.
    for script in ["true", "cp written.toml \"$1\"; exit 1"] {
        let mut tty = Tty::start(&home, flags, &[("EDITOR", &editor(&home, script))]);
        assert_eq!(tty.ended(), 1, "{}", tty.text());
        assert!(tty.text().contains("Nothing was written"), "{}", tty.text());
    }
    // A mistake loses nothing of what was written.
    home.file("written.toml", &GIG.replace("2000sat", "a lot"));
    let mut tty = Tty::start(&home, flags, &[("EDITOR", &editor(&home, "cp written.toml \"$1\""))]);
    assert_ne!(tty.ended(), 0);
    let text: String = tty.text().split_whitespace().collect();
    let kept = text.split("earnestpost").nth(1).unwrap();
    let kept = &kept[..kept.find(".toml").unwrap() + 5];
    assert!(fs::read_to_string(kept).unwrap().contains("a lot"), "{kept}");
    fs::remove_file(kept).unwrap();
    // Nobody is asked without an editor.
    let mut tty = Tty::start(&home, flags, &[]);
    assert_eq!(tty.ended(), 2);
    assert!(tty.text().contains("no $EDITOR"), "{}", tty.text());
}

#[test]
fn the_terminal_is_given_to_the_editor_and_taken_back() {
    let (_world, home, flags) = crate::person();
    home.file("written.toml", GIG);
    let writes = editor(&home, "stty -a > modes; cp written.toml \"$1\"");
    let mut tty = Tty::start(&home, &flags, &[("VISUAL", &writes)]);
    tty.sees("1 Gigs").types("2").sees("No gig of yours yet").types("e").sees("Sort a list");
    tty.sees("p publish");
    let modes = fs::read_to_string(home.dir().join("modes")).unwrap();
    assert!(modes.split_whitespace().any(|mode| mode == "icanon"), "{modes}");
    tty.until("the terminal is taken again", |screen| screen.alternate_screen());
    tty.types("q");
    assert_eq!(tty.ended(), 0);
    assert!(!tty.taken() && tty.sane());
}

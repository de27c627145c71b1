use rand::SeedableRng as _;

use super::*;

const ALL: [Kind; 9] = [
    Kind::Clean,
    Kind::Translate,
    Kind::Formula,
    Kind::Convert,
    Kind::Summarise,
    Kind::Sort,
    Kind::Judge,
    Kind::Transcribe,
    Kind::Count,
];

fn chance(n: u64) -> StdRng {
    StdRng::seed_from_u64(n)
}

fn ask_of(task: &Task) -> Ask {
    Ask {
        title: task.title.clone(),
        content: task.content.clone(),
        tags: task.tags.clone(),
        inputs: task.inputs.iter().map(|(n, t)| (n.clone(), t.clone().into_bytes())).collect(),
    }
}

/// What a program makes of a task, and what its requester says.
fn done(task: &Task, care: Care) -> Result<(), String> {
    let work = work(&ask_of(task), care);
    assert!(!work.bytes.is_empty() && !work.name.is_empty() && !work.message.is_empty());
    (task.check)(std::str::from_utf8(&work.bytes).unwrap())
}

#[test]
fn careful_work_passes_the_check_of_whoever_asked_and_hasty_work_does_not() {
    for kind in ALL.into_iter().filter(|kind| !kind.by_hand()) {
        for n in 0..60 {
            let task = kind.make(&mut chance(n));
            assert_eq!(
                Kind::of(&task.title, &task.content, &task.tags),
                Some(kind),
                "{}",
                task.title
            );
            assert_eq!(done(&task, Care::Careful), Ok(()), "{kind:?} {n}: {}", task.title);
            // A table may happen to hold no duplicate.
            if kind != Kind::Clean {
                assert!(done(&task, Care::Hasty).is_err(), "{kind:?} {n}: {}", task.title);
            }
        }
    }
}

#[test]
fn a_seed_makes_the_same_gig_again_and_another_makes_another() {
    for kind in ALL {
        let words = |n| {
            let task = kind.make(&mut chance(n));
            (task.title, task.content, task.sats, task.inputs)
        };
        assert_eq!(words(1), words(1));
        let all: std::collections::BTreeSet<_> = (0..20).map(words).collect();
        assert!(all.len() > 5, "{kind:?} makes {} kinds of gig", all.len());
    }
}

#[test]
fn every_gig_fits_the_protocol_and_pays_what_a_first_channel_needs() {
    for kind in ALL {
        for n in 0..60 {
            let task = kind.make(&mut chance(n));
            assert!(task.title.len() <= 160 && task.summary.len() <= 1024, "{}", task.title);
            assert!(!task.title.contains('\n') && task.content.len() < 8_000);
            assert!(task.tags.len() <= 16 && !task.modes.is_empty() && !task.inputs.is_empty());
            assert!((5_000..=25_000).contains(&task.sats));
            assert_eq!(task.tags.iter().any(|t| t == BY_HAND), kind.by_hand());
            assert!(task.tags.iter().any(|t| t == kind.tag()));
        }
    }
}

#[test]
fn what_is_typed_by_hand_is_taken_however_it_is_typed_and_a_mistake_is_named() {
    let task = Kind::Sort.make(&mut chance(3));
    let mut words: Vec<&str> = task.inputs[0].1.lines().collect();
    let first = words[0];
    words.sort_unstable();
    assert_eq!((task.check)(&words.join("\n")), Ok(()));
    assert_eq!((task.check)(&format!("- {}\r\n", words.join("\r\n- ")).to_uppercase()), Ok(()));
    let why = (task.check)(&task.inputs[0].1).unwrap_err();
    assert!(why.contains("comes before it"), "{why}");
    words.retain(|w| *w != first);
    let why = (task.check)(&words.join("\n")).unwrap_err();
    assert!(why.contains(first), "{why}");

    let task = Kind::Judge.make(&mut chance(3));
    let said: Vec<bool> =
        ["A", "B"].iter().map(|a| (task.check)(&format!("**{a}**, because\n")).is_ok()).collect();
    assert_ne!(said[0], said[1], "one of the two is right");
    assert!((task.check)("neither").unwrap_err().contains("`A` or `B`"));
    assert!((task.check)("").is_err());

    let task = Kind::Count.make(&mut chance(3));
    let right = (0..40).filter(|n| (task.check)(&format!("{n}\n")).is_ok()).count();
    assert_eq!(right, 1);
    assert!((task.check)("1").unwrap_err().contains("more than"));

    let task = Kind::Transcribe.make(&mut chance(3));
    assert!((task.check)("AB").unwrap_err().contains("seven"));
    assert!((task.check)("QQQQQQQ").unwrap_err().contains("first is number 1"));
}

#[test]
fn a_strangers_gig_is_done_as_far_as_a_program_can() {
    let ask = |title: &str, inputs: &[(&str, &[u8])]| Ask {
        title: title.into(),
        inputs: inputs.iter().map(|(n, b)| ((*n).to_owned(), b.to_vec())).collect(),
        ..Ask::default()
    };
    let text = |work: &Work| String::from_utf8(work.bytes.clone()).unwrap();
    let sorted = work(&ask("Please sort this", &[("l.txt", b"b\nA\n\nc\n")]), Care::Careful);
    assert_eq!(text(&sorted), "A\nb\nc\n");
    let csv =
        work(&ask("Remove duplicates", &[("a.csv", b"n,x\n2, b\n1,a\n2,b\n")]), Care::Careful);
    assert_eq!(text(&csv), "n,x\n1,a\n2,b\n");
    assert_eq!(csv.name, "a-clean.csv");
    let page = work(
        &ask("Translate this to Spanish", &[("p.txt", b"Closed on Mondays.\nHello friend\n")]),
        Care::Careful,
    );
    assert_eq!(text(&page), "Cerrado los lunes.\nhola amigo\n");
    let json = work(&ask("Convert to json", &[("a.csv", b"n,x\n1,a\n")]), Care::Careful);
    assert_eq!(text(&json), "{\"n\":\"1\",\"x\":\"a\"}\n");
    let prose = work(
        &ask("Clean up, please", &[("t.txt", b"Well, yes.  \nNo\nNo, no, no.\n")]),
        Care::Careful,
    );
    assert_eq!(text(&prose), "Well, yes.\nNo\nNo, no, no.\n", "prose is no table");
    let tidy = work(&ask("Have a look", &[("n.md", b"# A  \n\n\n\nb")]), Care::Careful);
    assert_eq!(text(&tidy), "# A\n\nb\n");
    for odd in [
        ask("Look", &[("x.png", b"\x89PNG\xff\xfe")]),
        ask("Look", &[("e.txt", b"")]),
        ask("Summarise", &[("e.txt", b" \n ")]),
        ask("Clean the csv", &[("e.csv", b"\n")]),
        ask("Write the formula", &[]),
        ask("Translate", &[("e.txt", b"")]),
        ask("Convert", &[("a.bin", b"\xff\xff")]),
        ask("", &[]),
    ] {
        assert!(!work(&odd, Care::Careful).bytes.is_empty(), "{odd:?}");
    }
}

#[test]
fn a_program_from_a_stranger_runs_for_a_bounded_time_and_fails_in_words() {
    assert_eq!(formula::run("dup *", &[7.0]), Ok(49.0));
    assert!(formula::run("+", &[1.0]).unwrap_err().contains("empty"));
    assert!(formula::run("rm -rf", &[1.0]).unwrap_err().contains("no word"));
    assert!(formula::run("", &[]).is_err());
    assert!(formula::run(&"dup ".repeat(1_000_000), &[1.0]).unwrap_err().contains("more than"));
}

//! What people do, by keys: search, bid, deliver, post, and every action that cannot be done says why.

use earnest::engine::{Command, Receipt};
use earnest::market::{EventId, Mode, Phase, Role, Verb};
use earnest::tui::{Context, Do, Found, KEYMAP, Msg, Said, Screen, offers};

use crate::stage::{Stage, fed, full, gigs, job, market, sats};

#[test]
fn a_worker_finds_a_gig_and_bids() {
    let mut stage = full((120, 40));
    stage.keys("/").typed("label price>=1000 #images");
    let query = stage.todo.iter().rev().find_map(|one| match one {
        Do::Find(_, query) => Some(query.clone()),
        _ => None,
    });
    let query = query.expect("the search is live");
    assert_eq!(
        (&query.words, &query.tags),
        (&vec!["label".to_owned()], &vec!["images".to_owned()])
    );
    assert_eq!(query.price_min, Some(sats(1_000)));
    stage.keys("enter b").says("You net: 21,000 sat: it comes over a channel you have");
    // Price and tranches stay; a message; send.
    stage.keys("tab tab").typed("I can start today").keys("tab enter");
    match stage.commands().as_slice() {
        [Command::Bid { gig, wish, message }] => {
            assert_eq!(*gig, EventId([1; 32]));
            assert_eq!((wish.price, wish.tranches), (None, Some(1)));
            assert_eq!(message, "I can start today");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_asks_more_than_the_gig_pays_is_told() {
    for (typed, more) in [("0", Some("It asks 189,000 sat more than the gig pays")), ("", None)] {
        let mut stage = full((80, 24));
        stage.keys("b").typed(typed).keys("tab tab tab enter");
        let receipt = Receipt { log: EventId([1; 32]), facts: 1 };
        let id = *stage.model.asked.keys().next().unwrap();
        stage.send(Msg::Answered(id, Ok(receipt)));
        stage.says("signed and on its way");
        match more {
            Some(more) => stage.says(more),
            None => stage.silent("more than the gig pays"),
        };
    }
}

#[test]
fn a_search_that_cannot_be_read_says_which_part_and_keeps_what_was_found() {
    let mut stage = full((120, 40));
    stage.keys("/").typed("mode:cash");
    stage.says("a mode is sealed, direct or").says("Label 4,000 street photographs");
    stage.keys("esc").says("label price>=1000");
}

#[test]
fn an_old_answer_does_not_replace_a_new_one() {
    let mut stage = full((120, 40));
    stage.keys("/").typed("ab");
    let ids: Vec<u64> = stage
        .todo
        .iter()
        .filter_map(|one| if let Do::Find(id, _) = one { Some(*id) } else { None })
        .collect();
    let found = |gigs| Ok(Found { gigs, next: None });
    stage.send(Msg::Found(ids[1], found(gigs()[1..2].to_vec())));
    stage.send(Msg::Found(ids[0], found(gigs()[..1].to_vec())));
    stage.says("Translate a manual").silent("Label 4,000");
}

#[test]
fn a_gig_that_comes_in_is_listed_by_itself() {
    let mut stage = full((120, 40));
    stage.todo.clear();
    stage.send(Msg::Wake);
    assert!(stage.todo.is_empty(), "nothing was heard");
    stage.snapshot.relays[0].heard_at = Some(earnest::market::Time(crate::stage::NOW.0 + 1));
    stage.send(Msg::Wake);
    let mut more = gigs();
    more.insert(0, crate::stage::gig(70, "Count the boats", 5_000));
    stage.answer_book(more);
    stage.says("Count the boats").says("Label 4,000 street photographs");
    // A bid would still be on the gig that was looked at.
    stage.keys("b").says("It pays 21,000 sat");
}

#[test]
fn a_worker_delivers() {
    let mut stage = full((120, 40));
    stage.keys("3 / T r a n s enter d").says("what you are held to");
    stage.keys("tab tab enter").says("The file is missing");
    stage.keys("up up").typed("~/out.csv").keys("tab tab enter");
    match stage.commands().as_slice() {
        [Command::Deliver { job, file, .. }] => {
            assert_eq!((*job, file.to_str()), (EventId([12; 32]), Some("~/out.csv")));
        }
        other => panic!("{other:?}"),
    }
    let said = Said { text: "The file cannot be read.".into_clean(), next: None };
    let id = *stage.model.asked.keys().next().unwrap();
    stage.send(Msg::Answered(id, Err(said)));
    stage.says("The file cannot be read.");
}

#[test]
fn who_delivers_is_told_who_can_read_it_and_when() {
    let id = EventId([12; 32]);
    for (mode, told, button) in [
        (Mode::Sealed, "nobody can open it before 55,000 sat are paid", "[ Seal and deliver ]"),
        (Mode::Direct, "can read it at once, before 55,000 sat are paid", "[ Deliver ]"),
        (Mode::Escrow, "can read it at once: 55,000 sat are locked for you", "[ Deliver ]"),
    ] {
        let mut market = market();
        let mut job = (*market.jobs[&id]).clone();
        job.mode = mode;
        market.jobs.insert(id, std::sync::Arc::new(job));
        let mut stage = Stage::up((120, 40), market, gigs());
        stage.keys("3 / T r a n s enter d").says(told).says(button);
    }
}

#[test]
fn a_question_with_answers_is_answered_by_its_number() {
    let mut market = market();
    let id = EventId([12; 32]);
    let mut asked = (*market.jobs[&id]).clone();
    asked.answers = ["yes", "no"].map(|answer| answer.into_clean()).to_vec();
    market.jobs.insert(id, std::sync::Arc::new(asked));
    let mut stage = Stage::up((120, 40), market, gigs());
    stage.keys("3 / T r a n s enter d").says("Answer the question").says("1 yes").says("2 no");
    for wrong in ["0", "3", "x"] {
        stage.typed(wrong).keys("tab tab enter").says("Type a number from 1 to 2.");
        stage.keys("up up backspace");
    }
    stage.typed("2").keys("tab").typed("It is \"not\" so.").keys("tab enter");
    let told = stage.todo.iter().rev().find_map(|one| match one {
        Do::Answer(_, job, document, _) => Some((*job, document.clone())),
        _ => None,
    });
    let (job, document) = told.expect("it is handed over");
    assert_eq!(job, id);
    assert_eq!(document, "{\"answer\":\"no\",\"why\":\"It is \\\"not\\\" so.\"}\n");
}

trait IntoClean {
    fn into_clean(self) -> earnest::text::Clean;
}

impl IntoClean for &str {
    fn into_clean(self) -> earnest::text::Clean {
        crate::stage::clean(self)
    }
}

#[test]
fn a_requester_writes_a_gig_sees_it_and_publishes() {
    let mut stage = full((120, 40));
    stage.keys("2 n").typed("Count the boats").keys("tab tab");
    for _ in 0..5 {
        stage.press("backspace");
    }
    stage.typed("5000").keys("tab tab").typed("sea photos");
    stage.keys("tab tab tab tab tab").typed("One number for each picture.").keys("tab enter");
    let (id, gig) = stage
        .todo
        .iter()
        .find_map(
            |one| if let Do::Preview(id, gig) = one { Some((*id, gig.clone())) } else { None },
        )
        .expect("a preview is asked for");
    assert_eq!((gig.draft.title.as_str(), gig.draft.price), ("Count the boats", sats(5_000)));
    assert_eq!(gig.draft.tags, ["sea", "photos"]);
    stage.keys("p").says("still being made");
    assert!(stage.commands().is_empty());
    let seen = crate::stage::gig(50, "Count the boats", 5_000);
    stage.send(Msg::Previewed(id, Ok(Box::new((*gig, seen)))));
    stage.says("What strangers will see. Not published yet.").says("Count the boats");
    stage.keys("p").says("you offer 5,000 sat").says("for everybody and for good").keys("y");
    assert!(matches!(stage.commands().as_slice(), [Command::Post { .. }]));
}

#[test]
fn what_an_editor_wrote_wrong_has_a_place_and_is_not_lost() {
    let mut stage = full((120, 40));
    stage.keys("2 e");
    assert!(
        stage.todo.iter().any(|one| matches!(one, Do::Edit(text) if text.contains("title = \"\"")))
    );
    stage.todo.clear();
    stage.send(Msg::Edited(Ok(Some("title = 'T'\nprice = 'much'\n".into()))));
    stage.says("Nothing was published").says("line 2, column 9: this must be a price");
    stage.keys("p").says("this must be a price");
    stage.keys("esc e");
    assert!(stage.todo.iter().any(|one| matches!(one, Do::Edit(text) if text.contains("much"))));
    stage.send(Msg::Edited(Ok(None)));
    stage.says("nothing was taken from it");
}

#[test]
fn every_action_that_cannot_be_done_says_why() {
    let phases = [
        Phase::Bid,
        Phase::Working,
        Phase::Delivered,
        Phase::Accepted,
        Phase::Paying,
        Phase::Settled,
        Phase::Cancelled,
    ];
    for role in [Role::Requester, Role::Worker] {
        for phase in phases {
            let mut snapshot = market();
            snapshot.jobs.clear();
            let one = job(60, role, phase, "One", 21_000);
            snapshot.jobs.insert(one.id, one.clone().into());
            let mut stage = Stage::up((200, 60), snapshot, Vec::new());
            stage.keys("3");
            // In the detail, each with its sentence.
            for offered in &one.legal {
                let key = Context::On(Screen::Jobs).key(earnest::tui::Act::Verb(offered.verb));
                let key = key.expect("every verb has a key");
                if let Some(refusal) = &offered.refusal {
                    stage.says(&format!("({key} {}) {}", offered.verb.word(), refusal.sentence));
                    stage.keys(key).says(&refusal.sentence);
                    assert!(stage.model.layers.is_empty() && stage.commands().is_empty());
                    stage.keys("esc");
                } else {
                    stage.keys(key);
                    assert_eq!(stage.model.layers.len(), 1, "{role:?} {phase:?} {key}");
                    stage.keys("esc");
                }
            }
            // In the footer, exactly the verbs of the role, each as the market says.
            let offers = offers(&stage.model, &stage.snapshot);
            for verb in Verb::of(role) {
                let act = earnest::tui::Act::Verb(*verb);
                let offer = offers.iter().find(|(bind, _)| bind.act == act);
                let known = one.legal.iter().find(|o| o.verb == *verb);
                assert_eq!(offer.is_some(), known.is_some());
                let (Some((_, may)), Some(known)) = (offer, known) else { continue };
                assert_eq!(may.is_err(), known.refusal.is_some());
            }
        }
    }
}

#[test]
fn nothing_can_be_asked_of_an_engine_that_is_not_there() {
    let mut stage = full((120, 40));
    stage.model.stage = earnest::tui::Stage::Starting;
    for (keys, why) in
        [("1 b", "still starting"), ("3 a", "still starting"), ("2 c", "still starting")]
    {
        stage.keys(keys).says(why);
        assert!(stage.model.layers.is_empty() && stage.commands().is_empty());
    }
}

#[test]
fn the_selection_stays_on_what_it_is_about() {
    let mut stage = full((200, 60));
    stage.keys("3 down");
    let before = stage.text();
    let name = "Find the bug in this parser";
    assert!(before.contains(name));
    stage.keys("/ F i n d enter");
    let chosen = |stage: &mut Stage| stage.model.selected.get(&Screen::Jobs).copied();
    stage.keys("esc / esc down down");
    let at = chosen(&mut stage);
    // A job that sorts first comes in.
    let mut urgent = job(99, Role::Worker, Phase::Working, "Urgent", 5_000);
    urgent.deadline = Some(earnest::market::Time(crate::stage::NOW.0 + 60));
    stage.snapshot.jobs.insert(urgent.id, urgent.into());
    stage.send(Msg::Wake);
    stage.draw();
    assert_eq!(chosen(&mut stage), at);
}

#[test]
fn help_shows_every_key_and_the_palette_runs_them() {
    let mut stage = full((200, 60));
    stage.keys("?");
    let mut shown = String::new();
    for _ in 0..20 {
        shown.push_str(&stage.text());
        stage.keys("pagedown");
    }
    for bind in KEYMAP.iter().filter(|bind| bind.context != Context::Help) {
        assert!(
            shown.contains(&bind.keys.join(" ")) && shown.contains(bind.words),
            "{:?}",
            bind.keys
        );
    }
    stage.keys("esc :").typed("wallet").keys("enter");
    assert_eq!(stage.model.screen, Screen::Wallet);
    stage.keys(":").typed("Translate a manual").keys("enter");
    assert!(matches!(stage.model.screen, Screen::Jobs | Screen::Gigs));
}

#[test]
fn a_click_does_what_a_key_does() {
    let mut stage = full((120, 40));
    stage.keys("1");
    stage.draw();
    let tabs = stage.text().lines().next().unwrap().find("4 Wallet").unwrap();
    stage.send(Msg::Click(u16::try_from(tabs).unwrap(), 0));
    assert_eq!(stage.model.screen, Screen::Wallet);
    fed(&mut stage);
    stage.keys("1 a").draw();
    // Over a question nothing below can be clicked.
    stage.keys("3 a");
    stage.draw();
    stage.send(Msg::Click(u16::try_from(tabs).unwrap(), 0));
    assert_eq!(stage.model.screen, Screen::Jobs);
}

#[test]
fn a_narrow_terminal_opens_and_closes_what_is_selected() {
    let mut stage = full((40, 12));
    stage.keys("3").says("Label 4,000").silent("What you can do");
    stage.keys("enter").says("delivered");
    stage.keys("esc").says("Jobs").silent("id 0b0b0b0b");
}

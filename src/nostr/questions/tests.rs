use nostr_sdk::JsonUtil;
use proptest::prelude::*;
use serde_json::Value;

use super::super::inbox::Asked;
use super::*;
use crate::market::Pubkey;

const WALL: Time = Time(1_000_000);

fn pace(page: usize) -> Pace {
    let long = Duration::from_secs(3600);
    Pace {
        eose: Duration::from_secs(10),
        backoff: Duration::from_secs(1),
        idle: long,
        sweep: long,
        page,
    }
}

fn key(n: u8) -> Want {
    // The generator's x coordinate and others are not needed: a filter carries any 32 bytes.
    Want::Channel(Pubkey([n; 32]))
}

fn wanted(wants: impl IntoIterator<Item = (Want, u64)>) -> Wanted {
    wants
        .into_iter()
        .map(|(want, since)| (want, Asked { since: Time(since), serial: 7, reader: None }))
        .collect()
}

fn json(messages: &[ClientMessage<'_>]) -> Vec<Value> {
    messages.iter().map(|m| serde_json::from_str(&m.as_json()).unwrap()).collect()
}

/// A relay in three lines: newest first, at most `cap` of them.
fn answer(stored: &[u64], filter: &Value, cap: usize) -> Vec<u64> {
    let bound = |name: &str, none: u64| filter[name].as_u64().unwrap_or(none);
    let (since, until) = (bound("since", 0), bound("until", u64::MAX));
    let mut found: Vec<u64> =
        stored.iter().copied().filter(|t| (since..=until).contains(t)).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(cap.min(bound("limit", u64::MAX) as usize));
    found
}

/// Plays the relay until nothing more is asked; answers with the times of the events that came, and how
/// many questions there were.
fn read_all(stored: &[u64], since: u64, page: usize, cap: usize) -> (BTreeSet<u64>, usize) {
    let now = Instant::now();
    let mut questions = Questions::new(pace(page), now);
    assert!(questions.replace(wanted([(key(1), since)]), now).is_empty());
    questions.connected(now);
    let (mut came, mut asked) = (BTreeSet::new(), 0);
    let mut todo = json(&questions.due(now, WALL, true));
    while let Some(message) = todo.pop() {
        if message[0] == "REQ" {
            asked += 1;
            let id = message[1].as_str().unwrap().to_owned();
            for at in answer(stored, &message[2], cap) {
                came.insert(at);
                questions.event(&id, Time(at), true, now);
            }
            todo.extend(json(&questions.eose(&id, true, now).1));
        }
        todo.extend(json(&questions.due(now, WALL, true)));
        assert!(asked < 10_000, "it never ends");
    }
    assert!(questions.live());
    (came, asked)
}

proptest! {
    /// Whatever is stored, at whatever page size, under whatever cap: all of it is read and reading ends,
    /// as long as no single second holds more than a relay gives at once.
    #[test]
    fn everything_is_read(
        times in prop::collection::btree_set(900u64..1200, 0..120),
        since in 850u64..1000,
        page in 2usize..50,
        cap in 2usize..50,
    ) {
        let stored: Vec<u64> = times.iter().copied().collect();
        let expected: BTreeSet<u64> = times.range(since..).copied().collect();
        let (came, asked) = read_all(&stored, since, page, cap);
        prop_assert_eq!(came, expected);
        prop_assert!(asked <= 4 + 2 * stored.len());
    }
}

#[test]
fn nothing_stored_is_two_questions() {
    assert_eq!(read_all(&[], 0, 500, 500).1, 2);
}

#[test]
fn a_want_more_leaves_the_others_read() {
    let now = Instant::now();
    let mut questions = Questions::new(pace(500), now);
    questions.replace(wanted([(key(1), 100)]), now);
    questions.connected(now);
    assert_eq!(questions.due(now, WALL, true).len(), 1);
    questions.eose("c0", true, now);
    assert_eq!(json(&questions.due(now, WALL, true))[0][1], "p1");
    questions.eose("p1", true, now);
    assert!(questions.live());

    questions.replace(wanted([(key(1), 100), (key(2), 200)]), now);
    assert!(!questions.live());
    let live = json(&questions.due(now, WALL, true));
    assert_eq!(live[0][2]["authors"].as_array().unwrap().len(), 2);
    questions.eose("c0", true, now);
    let page = json(&questions.due(now, WALL, true));
    assert_eq!(page[0][2]["authors"].as_array().unwrap().len(), 1, "only the new one is read");
    assert_eq!(page[0][2]["since"], 200);
}

#[test]
fn a_cursor_that_moves_on_disturbs_nothing() {
    let now = Instant::now();
    let mut questions = Questions::new(pace(500), now);
    questions.replace(wanted([(key(1), 100)]), now);
    questions.connected(now);
    questions.due(now, WALL, true);
    questions.eose("c0", true, now);
    questions.due(now, WALL, true);
    questions.eose("p1", true, now);
    assert!(questions.replace(wanted([(key(1), 900)]), now).is_empty());
    assert!(questions.live());
    assert!(questions.due(now, WALL, true).is_empty());
    assert_eq!(questions.wanted()[&key(1)].since, Time(100), "what comes over it is still wanted");
    questions.connected(now);
    questions.due(now, WALL, true);
    questions.eose("c0", true, now);
    let page = json(&questions.due(now, WALL, true));
    assert_eq!(page[0][2]["since"], 900, "and it is read again from the cursor only");
}

#[test]
fn silence_is_counted_until_an_answer_comes() {
    let now = Instant::now();
    let mut questions = Questions::new(pace(500), now);
    questions.replace(wanted([(key(1), 100)]), now);
    questions.connected(now);
    questions.due(now, WALL, true);
    assert_eq!(questions.silent(now), 0);
    let late = now + Duration::from_secs(10);
    assert_eq!(questions.silent(late), 1);
    assert_eq!(questions.due(late, WALL, true).len(), 1, "asked again");
    assert_eq!(questions.silent(late + Duration::from_secs(10)), 2);
}

#[test]
fn a_closed_question_waits_and_is_asked_again_and_read_again() {
    let now = Instant::now();
    let mut questions = Questions::new(pace(500), now);
    questions.replace(wanted([(key(1), 100)]), now);
    questions.connected(now);
    questions.due(now, WALL, true);
    questions.eose("c0", true, now);
    questions.due(now, WALL, true);
    questions.eose("p1", true, now);
    assert_eq!(questions.closed("c0", false, now), Did::Lost);
    assert!(!questions.live());
    assert!(questions.due(now, WALL, true).is_empty(), "not at once");
    let later = now + Duration::from_secs(2);
    assert_eq!(questions.due(later, WALL, true).len(), 1);
    assert_eq!(questions.eose("c0", true, later).0, Did::Restored);
    assert_eq!(json(&questions.due(later, WALL, true))[0][1], "p2");
}

#[test]
fn without_room_no_page_is_asked_for() {
    let now = Instant::now();
    let mut questions = Questions::new(pace(500), now);
    questions.replace(wanted([(key(1), 100)]), now);
    questions.connected(now);
    assert_eq!(questions.due(now, WALL, false).len(), 1);
    questions.eose("c0", false, now);
    assert!(questions.due(now, WALL, false).is_empty());
    assert_eq!(questions.due(now, WALL, true).len(), 1);
}

#[test]
fn many_keys_share_few_questions() {
    let now = Instant::now();
    let mut questions = Questions::new(pace(10), now);
    questions.replace(wanted((0..=249).map(|n| (key(n), 1))), now);
    assert_eq!(questions.due(now, WALL, false).len(), 3);
}

#[test]
fn a_key_more_or_less_changes_one_question() {
    let now = Instant::now();
    let mut questions = Questions::new(pace(10), now);
    let without = |gone: &'static [u8]| (0..=249).filter(move |n| !gone.contains(n));
    questions.replace(wanted(without(&[0, 120]).map(|n| (key(n), 1))), now);
    questions.due(now, WALL, false);
    // One that comes where the order of keys would move all the others.
    assert_eq!(questions.replace(wanted(without(&[120]).map(|n| (key(n), 1))), now), []);
    assert_eq!(questions.due(now, WALL, false).len(), 1);
    // One that goes, and one that takes its room.
    assert_eq!(questions.replace(wanted(without(&[3, 120]).map(|n| (key(n), 1))), now), []);
    assert_eq!(questions.due(now, WALL, false).len(), 1);
    assert_eq!(questions.replace(wanted(without(&[3]).map(|n| (key(n), 1))), now), []);
    assert_eq!(questions.due(now, WALL, false).len(), 1);
    // All of a question gone, it is closed.
    assert_eq!(questions.replace(wanted((1..50).map(|n| (key(n), 1))), now).len(), 2);
}

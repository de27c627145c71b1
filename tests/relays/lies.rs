//! Relays that lie: what was not asked for or is forged is not handed on.

use crate::*;

fn frame(event: &Value) -> String {
    json!(["EVENT", "c0", event]).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_asked_for_or_is_forged_is_not_handed_on() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    let good = records(&keys, 1).remove(0);
    let value = |event: &Event| serde_json::to_value(event).unwrap();

    let mut wrong_signature = value(&good);
    wrong_signature["sig"] = json!("ab".repeat(64));
    let mut wrong_id = value(&good);
    wrong_id["content"] = json!("another record");
    let mut other_id = value(&good);
    other_id["id"] = json!("00".repeat(32));
    let stranger = value(&records(&Keys::generate(), 1)[0]);
    let note = value(&made(&keys, 1, now(), "a note".into(), vec![]));
    let deletion = value(&made(&keys, 5, now(), String::new(), vec![Tag::event(good.id)]));
    let large = value(&made(&keys, 3920, now(), "x".repeat(65 * 1024), vec![]));
    let huge = value(&made(&keys, 3920, now(), "x".repeat(130 * 1024), vec![]));
    let ahead = value(&made(&keys, 3920, now().after(Span(20 * 60)), "later".into(), vec![]));
    let long_ago =
        value(&made(&keys, 3920, now().before(Span::DAY.times(9)), "old".into(), vec![]));
    let bad = [
        ("bad-signature", wrong_signature),
        ("wrong-id", wrong_id),
        ("wrong-id", other_id),
        ("unasked", stranger),
        ("unasked", note),
        ("unasked", deletion),
        ("unasked", long_ago),
        ("too-large", large),
        ("too-large", huge),
        ("future-dated", ahead),
        ("garbage", json!({"kind": 3920})),
    ];
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for (why, event) in &bad {
        flaky.say(&frame(event));
        *expected.entry(why).or_default() += 1;
    }
    until("refused", || async { tally(&pool, &flaky.url()).refused == expected }).await;
    // The forged copies came first and must not hide the real one.
    flaky.say(&frame(&value(&good)));
    all_arrive(&pool, std::slice::from_ref(&good)).await;
    assert_eq!(tally(&pool, &flaky.url()).handed_on, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_large_to_read_ends_the_connection_and_no_more() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let events = records(&keys, 1);
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    flaky.say(&"x".repeat(1024 * 1024));
    until_tally(&pool, &flaky.url(), "connected anew", |t| t.connections > 1).await;
    fill(&relay.url(), &events).await;
    all_arrive(&pool, &events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_only_sends_rubbish_is_left_alone() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    let stranger = frame(&serde_json::to_value(&records(&Keys::generate(), 1)[0]).unwrap());
    until("hung up", || async {
        flaky.say(&stranger);
        tally(&pool, &flaky.url()).connections > 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_with_the_same_event_hand_it_on_once() {
    let (a, b) = (honest().await, honest().await);
    let keys = Keys::generate();
    let events = records(&keys, 50);
    fill(&a.url(), &events).await;
    fill(&b.url(), &events).await;
    let pool = Pool::start(config(&[&a.url(), &b.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    all_arrive(&pool, &events).await;
    until_live(&pool).await;
    let handed: u64 = pool.tally().values().map(|t| t.handed_on).sum();
    assert_eq!(handed, 50);
}

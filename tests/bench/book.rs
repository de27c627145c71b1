//! Searching the book: what a person waits for at each key of a live search.

use earnest::engine::{Commit, Store as _};
use earnest::market::{
    Deadlines, EventId, Gig, Inbox, Mode, Msat, Network, Offer, Pubkey, Quality, Query, Side, Span,
    Status, Time, Work,
};
use earnest::store::Database;
use earnest::text::Raw;

use crate::{Row, Samples, timed};

const QUERIES: usize = 2_000;
/// Gigs in one commit while filling: not what is measured.
const BATCH: u64 = 5_000;
const NOW: Time = Time(1_800_000_000);

/// What people type: words in the making, a price, a tag, an order.
const LINES: [&str; 10] = [
    "",
    "tr",
    "translate",
    "label images",
    "clean csv price>5000",
    "#rust",
    "price<3000 sort:price",
    "review code mode:direct",
    "sort:closing",
    "zzz nothing has this",
];

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
    for (size, name) in
        [(100_000, "search in 100,000 gigs, p99"), (1_000_000, "search in 1,000,000 gigs, p99")]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Database::open(dir.path(), "the bench").unwrap();
        fill(&mut store, size);
        let mut took = Samples::default();
        for n in 0..QUERIES {
            let mut query =
                Query::parse(LINES[n % LINES.len()], Network::Regtest, |_| None).unwrap();
            query.limit = 50;
            took.millis(timed(|| store.find(&query, NOW).unwrap()).1);
        }
        let p99 = took.quantile(0.99);
        tell(Row { value: p99, ..took.row(name, "ms") });
    }
}

/// Puts so many open gigs into a book, by as many authors as the book's quota needs.
pub(crate) fn fill(store: &mut Database, size: u64) {
    for from in (0..size).step_by(BATCH as usize) {
        let made = (from..(from + BATCH).min(size)).map(|n| {
            let gig = gig(n);
            let json = format!("{{\"id\":\"{}\"}}", gig.id);
            (gig, json)
        });
        store.commit(&Commit { gigs: made.collect(), ..Commit::default() }).unwrap();
    }
}

fn bytes(n: u64) -> [u8; 32] {
    *blake3::hash(&n.to_le_bytes()).as_bytes()
}

const VERBS: [&str; 8] =
    ["Translate", "Label", "Clean", "Review", "Write", "Convert", "Summarise", "Transcribe"];
const THINGS: [&str; 9] = [
    "a page of text",
    "300 images of cats",
    "one CSV of people",
    "a small Rust crate",
    "code with tests",
    "ten photographs",
    "a podcast of an hour",
    "answers of a model",
    "street names",
];
const TAGS: [&str; 7] = ["rust", "csv", "translation", "ai", "images", "audio", "review"];

fn pick<'a>(list: &[&'a str], n: u64) -> &'a str {
    list[(n % list.len() as u64) as usize]
}

fn gig(n: u64) -> Gig {
    let author = Pubkey(bytes(n / 100));
    let at = NOW.before(Span(n));
    let mode = if n.is_multiple_of(3) { Mode::Direct } else { Mode::Sealed };
    Gig {
        id: EventId(bytes(n ^ (1 << 63))),
        author,
        d: format!("gig-{n}"),
        at,
        published_at: at,
        title: Raw(format!("{} {}", pick(&VERBS, n), pick(&THINGS, n / 8))),
        summary: Raw(format!("Number {n}, to be done {}", pick(&["today", "soon", "well"], n / 7))),
        content: Raw::from("One file in, one file out. The rest is in the attachment."),
        tags: vec![pick(&TAGS, n).into(), pick(&TAGS, n / 5).into()],
        side: Side::Request,
        status: Status::Open,
        network: Network::Regtest,
        expires_at: NOW.after(Span(3_600 + n)),
        offer: Offer {
            milestones: Vec::new(),
            quality: Quality::default(),
            v: 1,
            work: Work::File,
            modes: vec![mode],
            slots: 1,
            price: Msat::sats(1_000 + n % 50_000).unwrap(),
            max_bytes: 1 << 20,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
            escrow: None,
            pow: 8,
            inbox: Inbox { key: author, relays: vec!["wss://relay.example".into()] },
            inputs: vec![],
        },
    }
}

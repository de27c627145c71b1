//! Rows to store: small, valid, told apart by a number.

use earnest::engine::{Direction, EffectRow, FactRow, LedgerRow};
use earnest::market::{
    Deadlines, Digest, EventId, Gig, Inbox, Mode, Msat, Network, Offer, PaymentHash, Pubkey,
    Quality, Side, Span, Status, Time, Work,
};
use earnest::text::Raw;

pub(crate) fn bytes(n: u64) -> [u8; 32] {
    let mut out = [0; 32];
    out[..8].copy_from_slice(&n.to_be_bytes());
    out
}

pub(crate) fn id(n: u64) -> EventId {
    EventId(bytes(n))
}

pub(crate) fn fact(log: EventId, n: u64) -> FactRow {
    let body = format!("{{\"n\":{n}}}");
    FactRow { log, n, at: Time(1000 + n), kind: "noted".into(), v: 1, body }
}

pub(crate) fn effect(log: EventId, n: u64, not_before: u64) -> EffectRow {
    let id = Digest(bytes(0xeffec7 + n));
    let not_before = Time(not_before);
    EffectRow { id, log, kind: "publish".into(), body: "{}".into(), not_before, tries: 0 }
}

pub(crate) fn ledger(n: u64, direction: Direction) -> LedgerRow {
    LedgerRow {
        hash: PaymentHash(bytes(n)),
        log: id(n),
        direction,
        tranche: 0,
        amount: Msat::sats(21_000).unwrap(),
        invoice: format!("lnbcrt210u1invoice{n}"),
        state: if direction == Direction::In { "billed" } else { "intent" }.into(),
        fee: Msat::ZERO,
        at: Time(1000 + n),
    }
}

/// The middle of the year in which the tests play.
pub(crate) const NOW: Time = Time(1_800_000_000);

pub(crate) fn gig(n: u64, title: &str) -> Gig {
    Gig {
        id: id(n),
        author: Pubkey(bytes(n)),
        d: format!("gig-{n}"),
        at: NOW.before(Span(n)),
        published_at: NOW.before(Span(n)),
        title: Raw::from(title),
        summary: Raw::from("A few lines"),
        content: Raw::from("Some *words*"),
        tags: vec!["rust".into()],
        side: Side::Request,
        status: Status::Open,
        network: Network::Regtest,
        expires_at: NOW.after(Span::DAY),
        offer: Offer {
            milestones: Vec::new(),
            quality: Quality::default(),
            v: 1,
            work: Work::File,
            modes: vec![Mode::Sealed],
            slots: 1,
            price: Msat::sats(1000 + n).unwrap(),
            max_bytes: 1 << 20,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
            escrow: None,
            pow: 0,
            inbox: Inbox { key: Pubkey(bytes(n)), relays: vec!["ws://localhost".into()] },
            inputs: vec![],
        },
    }
}

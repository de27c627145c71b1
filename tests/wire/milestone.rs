//! Milestones on the wire: one spelling, and nothing that is said beside them in another way.

use super::sample::*;
use earnest::market::*;
use earnest::wire::{self, Code, Stage};

fn milestones() -> Vec<Milestone> {
    let part = |title: &str, price, mode| Milestone {
        title: raw(title),
        price: Msat::sats(price).unwrap(),
        mode,
        deadlines: Deadlines { deliver: Span::DAY, pay: Span::HOUR },
        tranches: 1,
        quality: Quality::default(),
        escrow: (mode == Mode::Escrow).then(EscrowTerms::default),
    };
    vec![
        part("A \u{202e}draft", 4_000, Mode::Sealed),
        part("The text", 5_000, Mode::Escrow),
        part("A list", 6_000, Mode::Direct),
    ]
}

/// The sample gig in these milestones.
fn in_milestones(milestones: Vec<Milestone>) -> Gig {
    let mut gig = gig();
    let whole = terms().in_milestones(milestones.clone());
    gig.offer.price = whole.price;
    gig.offer.deadlines = whole.deadlines;
    gig.offer.modes = Vec::new();
    for m in &milestones {
        if !gig.offer.modes.contains(&m.mode) {
            gig.offer.modes.push(m.mode);
        }
    }
    gig.offer.escrow = milestones.iter().find_map(|m| m.escrow.clone());
    gig.offer.milestones = milestones;
    gig
}

#[test]
fn what_has_none_is_written_as_before() {
    let (_, json) = wire::publish(&key(1), &gig(), Stage::Published).unwrap();
    assert!(!json.contains("milestone"));
    assert!(!bid().event.contains("milestone"));
    let hash = wire::terms_hash(&terms());
    let in_parts = wire::terms_hash(&terms().in_milestones(milestones()));
    assert_ne!(hash, in_parts, "the hash is over all of them");
}

#[test]
fn a_gig_in_milestones_is_published_and_read_back() {
    let gig = in_milestones(milestones());
    let (id, json) = wire::publish(&key(1), &gig, Stage::Published).unwrap();
    assert_eq!(wire::read_listing(&json, NOW).unwrap(), Gig { id, author: key(1).pubkey(), ..gig });
}

#[test]
fn a_gig_whose_milestones_cannot_be_kept_is_not_published() {
    let code = |change: fn(&mut Gig)| {
        let mut gig = in_milestones(milestones());
        change(&mut gig);
        wire::publish(&key(1), &gig, Stage::Published).unwrap_err().code
    };
    for change in [
        |g: &mut Gig| g.offer.price = Msat::sats(14_999).unwrap(),
        |g: &mut Gig| g.offer.modes.reverse(),
        |g: &mut Gig| {
            g.offer.modes.pop();
        },
        |g: &mut Gig| g.offer.deadlines.pay = Span(7),
        |g: &mut Gig| g.offer.escrow.as_mut().unwrap().window = 300,
        |g: &mut Gig| g.offer.quality.audit = 3,
        |g: &mut Gig| g.offer.milestones[0].tranches = 2,
        |g: &mut Gig| g.offer.milestones[1].escrow = None,
        |g: &mut Gig| g.offer.milestones[0].title = raw(""),
    ] {
        assert_eq!(code(change), Code::OutOfLimits);
    }
    let publish = |milestones| {
        let gig = in_milestones(milestones);
        wire::publish(&key(1), &gig, Stage::Published).map(|_| ()).map_err(|why| why.code)
    };
    let list = milestones().remove(2);
    let priced = |price| Milestone { price, ..list.clone() };
    assert_eq!(publish(vec![list.clone(); 16]), Ok(()));
    assert_eq!(publish(vec![list.clone(); 17]), Err(Code::OutOfLimits));
    assert_eq!(publish(vec![list.clone()]), Err(Code::OutOfLimits));
    assert_eq!(publish(vec![list.clone(), priced(Msat::ZERO)]), Err(Code::OutOfLimits));
    let dust = priced(Msat::new(999_999).unwrap());
    assert_eq!(publish(vec![list.clone(), dust]), Err(Code::OutOfLimits));
    let all = priced(Msat::sats(60_000_000).unwrap());
    assert_eq!(publish(vec![all.clone(), all]), Err(Code::OutOfLimits), "over one bitcoin");
    assert_eq!(publish(vec![priced(Msat::MAX), priced(Msat::MAX)]), Err(Code::OutOfLimits));
}

#[test]
fn a_strangers_milestones_are_read_strictly() {
    let (_, honest) =
        wire::publish(&key(1), &in_milestones(milestones()), Stage::Published).unwrap();
    let terms = |from: &str, to: &str| {
        let json = reforged(1, &honest, |t, _, _| {
            let tag = t.iter_mut().find(|t| t[0] == "terms").unwrap();
            assert!(tag[1].contains(from), "{}", tag[1]);
            tag[1] = tag[1].replacen(from, to, 1);
        });
        wire::read_listing(&json, NOW).unwrap_err().code
    };
    let title = "\"title\":\"The text\"}";
    assert_eq!(terms(title, "\"title\":\"The text\",\"x\":1}"), Code::BadField);
    // The only spelling of one tranche is none.
    assert_eq!(terms(title, "\"title\":\"The text\",\"tranches\":1}"), Code::BadField);
    assert_eq!(terms(title, "\"title\":\"The text\",\"tranches\":0}"), Code::OutOfLimits);
    assert_eq!(terms("\"price\":\"5000000\"", "\"price\":5000000"), Code::BadField);
    assert_eq!(terms("\"price\":\"5000000\"", "\"price\":\"5000001\""), Code::OutOfLimits);
    assert_eq!(terms("\"mode\":\"direct\"", "\"mode\":\"cash\""), Code::BadField);
}

#[test]
fn a_bid_in_milestones_is_signed_and_read_back() {
    let with = |milestones: Vec<Milestone>| {
        let mut draft = bid().draft;
        if let Body::Bid(bid) = &mut draft.body {
            bid.terms = bid.terms.clone().in_milestones(milestones);
        }
        draft
    };
    let mut parts = milestones();
    parts[0].tranches = 4;
    let draft = with(parts.clone());
    let record = wire::sign_record(&key(2), &draft).unwrap();
    assert_eq!(wire::read_record(&record.event).unwrap().draft, draft);
    let code = |draft: &Draft| wire::sign_record(&key(2), draft).unwrap_err().code;
    parts[0].tranches = 5;
    assert_eq!(code(&with(parts.clone())), Code::OutOfLimits, "each tranche is 1,000 sat");
    parts[0].tranches = 1;
    parts[1].tranches = 2;
    assert_eq!(code(&with(parts.clone())), Code::OutOfLimits, "only what is sealed has tranches");
    parts[1].tranches = 1;
    let body = "{}".to_owned();
    let hash = Digest(*blake3::hash(body.as_bytes()).as_bytes());
    parts[2].quality.checks = vec![Pinned { body: Some(body), hash }];
    assert_eq!(code(&with(parts)), Code::OutOfLimits, "a bid names checks, and carries none");
    let mut draft = with(milestones());
    if let Body::Bid(bid) = &mut draft.body {
        bid.terms.price = Msat::sats(15_001).unwrap();
    }
    assert_eq!(code(&draft), Code::OutOfLimits);
}

#[test]
fn a_lock_names_a_milestone_that_can_be() {
    let lock = |milestone| {
        let lock =
            Lock { milestone, attempt: 0, hash: PaymentHash([1; 32]), nonce: Nonce([2; 32]) };
        wire::sign_record(&key(4), &channel_draft(Body::Lock(lock))).map_err(|why| why.code)
    };
    assert!(lock(15).is_ok());
    assert_eq!(lock(16), Err(Code::OutOfLimits));
    let here = |milestone| {
        let lock =
            Lock { milestone, attempt: 0, hash: PaymentHash([1; 32]), nonce: Nonce([2; 32]) };
        hold_purpose(&JobId([3; 32]), &lock)
    };
    assert_ne!(here(0), here(1), "an invoice for one is none for another");
}

//! Bids: what a worker may offer on a gig, what a requester lets in, and the id of the job they make.

use serde::{Deserialize, Serialize};

use crate::market::{
    Bid, BidId, Body, Certificate, Deadlines, Digest, EventId, Exposure, Gig, Job, JobId, Limits,
    Mode, Msat, Network, Phase, Pubkey, Record, Refusal, Role, Side, Span, Status, Terms, Time,
};

/// `J = H("earnest/v1/job", bid id, award id)`: BLAKE3 in key-derivation mode over both ids.
pub fn job_id(bid: &BidId, award: &EventId) -> JobId {
    let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/job");
    hasher.update(bid.as_bytes());
    hasher.update(award.as_bytes());
    JobId(hasher.finalize().into())
}

/// What a worker wishes to offer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The gig's first mode when absent.
    pub mode: Option<Mode>,
    /// The gig's price when absent.
    pub price: Option<Msat>,
    /// One when absent.
    pub tranches: Option<u32>,
}

/// The least price, below which an HTLC is dust and not enforced by the chain (exchange.md 1.3).
pub const LEAST_PRICE: Msat = match Msat::sats(1000) {
    Some(price) => price,
    None => Msat::ZERO,
};
/// The most tranches.
pub const MOST_TRANCHES: u32 = 64;
/// Open bids of one identity on one gig that are heard.
pub const MOST_BIDS: usize = 3;
/// The longest phase.
pub const LONGEST_PHASE: Span = Span::DAY.times(90);

fn no(code: &str, sentence: impl Into<String>) -> Refusal {
    Refusal::new(code, sentence)
}

/// Whether a gig takes bids now.
pub fn takes_bids(gig: &Gig, network: Network, now: Time) -> Result<(), Refusal> {
    if gig.network != network {
        return Err(no("wrong-network", "The gig is on another network. Nothing was sent."));
    }
    if gig.side != Side::Request {
        return Err(no("not-a-request", "The listing offers work; it does not ask for any."));
    }
    if gig.status != Status::Open {
        return Err(no("gig-closed", "The gig takes no more bids."));
    }
    if now >= gig.expires_at {
        return Err(no("gig-expired", "The gig has expired: it takes no more bids."));
    }
    Ok(())
}

/// What a worker knows when it bids.
#[derive(Debug, Clone, Copy)]
pub struct Bidder {
    /// Our identity.
    pub me: Pubkey,
    /// Our chain.
    pub network: Network,
    /// Now.
    pub now: Time,
    /// Whether a bid or a job of ours on this gig is open: one a gig.
    pub open: bool,
    /// The least first payment that our node can receive; `None` while it can receive nothing.
    pub least_first: Option<Msat>,
    /// What our node can receive over the channels that it has.
    pub receivable: Msat,
    /// What jobs and bids of ours may still bring over them.
    pub expected: Msat,
    /// What we let this author hold of ours.
    pub limits: Limits,
    /// What is open with this author.
    pub open_with: Exposure,
}

/// The complete terms of a bid on this gig, and the least first payment that the bid names. Refuses what
/// its author could only refuse, and what our own node could not be paid for.
pub fn propose(gig: &Gig, wish: Wish, bidder: &Bidder) -> Result<(Terms, Msat), Refusal> {
    let network = bidder.network;
    takes_bids(gig, network, bidder.now)?;
    if gig.author == bidder.me {
        return Err(no("own-gig", "This gig is your own."));
    }
    let offer = &gig.offer;
    let Some(mode) = wish.mode.or(offer.modes.first().copied()) else {
        return Err(no("no-mode", "The gig offers no way to settle that this program knows."));
    };
    let terms = Terms {
        v: 1,
        work: offer.work,
        mode,
        price: wish.price.unwrap_or(offer.price),
        tranches: wish.tranches.unwrap_or(1),
        max_bytes: offer.max_bytes,
        deadlines: offer.deadlines,
        quality: offer.quality.bare(),
        network,
        escrow: offer.escrow.clone().filter(|_| mode == Mode::Escrow),
        milestones: Vec::new(),
    };
    let parts = offer.milestones.iter().map(|m| m.bare(terms.tranches)).collect();
    let (price, mode, terms) = (terms.price, terms.mode, terms.in_milestones(parts));
    if price != terms.price || mode != terms.mode {
        let sentence =
            "A gig with milestones is bid on as it stands: each has its price and its mode.";
        return Err(no("terms-differ", format!("{sentence} Nothing was sent.")));
    }
    fits(&terms, gig)?;
    apart(&terms, [&gig.author, &bidder.me])?;
    if bidder.open {
        let sentence = "You have a bid or a job on this gig already. Nothing was sent.";
        return Err(no("bid-twice", sentence));
    }
    // Each milestone may need a channel of its own.
    let smallest = terms.parts().map(|part| part.price).min().unwrap_or(terms.price);
    let least = receivable(smallest, bidder.least_first)?;
    for part in terms.parts() {
        in_parts(&part, bidder.receivable)?;
    }
    beside(terms.price, bidder)?;
    bidder.limits.lets_work(&terms, &bidder.open_with)?;
    Ok((terms, least))
}

/// A judge is nobody of the job.
fn apart(terms: &Terms, parties: [&Pubkey; 2]) -> Result<(), Refusal> {
    terms.parts().try_for_each(|part| {
        let judge = part.escrow.as_ref().and_then(|escrow| escrow.judge.as_ref());
        crate::market::check_apart(judge, parties)
    })
}

/// The least first payment our node can receive, if this price is at least that.
fn receivable(price: Msat, least: Option<Msat>) -> Result<Msat, Refusal> {
    match least {
        None => {
            let sentence = "Your node cannot receive over Lightning yet: it has no channel, and no LSP has answered. Nothing was sent.";
            Err(no("no-inbound", sentence)
                .next("Wait until the LSP answers, or set one: earnest doctor"))
        }
        Some(least) if price < least => {
            let sentence = format!(
                "Your node has no channel yet, and the first payment it can receive is {least}. Nothing was sent."
            );
            Err(no("below-least-first", sentence).next(format!(
                "Ask for {least} or more, bid on a gig that pays as much, or open a channel first."
            )))
        }
        Some(least) => Ok(least),
    }
}

/// A price in parts comes over channels that are there: the first part alone would open one too small for
/// the rest (PROTOCOL.md 5.7).
fn in_parts(terms: &Terms, receivable: Msat) -> Result<(), Refusal> {
    if terms.tranches == 1 || receivable >= terms.price {
        return Ok(());
    }
    let sentence = format!(
        "Your node can receive {receivable} over the channels it has, and a price in {} parts needs {} of it: the first part would open a channel too small for the rest. Nothing was sent.",
        terms.tranches, terms.price
    );
    let next = match receivable >= LEAST_PRICE {
        true => format!(
            "Bid in one part, or at most {receivable}; or do another job first: its payment opens a channel."
        ),
        false => {
            "Bid in one part: its payment opens a channel. Parts are possible after that.".into()
        }
    };
    Err(no("no-room-for-parts", sentence).next(next))
}

/// A price that fits into a channel fits beside what is to come through it: else the last to be paid is not.
fn beside(price: Msat, bidder: &Bidder) -> Result<(), Refusal> {
    let Bidder { receivable, expected, .. } = *bidder;
    if price > receivable || price <= receivable.saturating_sub(expected) {
        return Ok(());
    }
    let sentence = format!(
        "Your node can receive {receivable} over the channels it has, and {expected} of it are for jobs and bids you have. Nothing was sent."
    );
    Err(no("no-room", sentence).next(format!(
        "Take back a bid, open a channel, or bid on what pays more than {receivable}: that opens one."
    )))
}

/// Whether this job is a bid, or what came of one, that leaves no room for another on its gig.
pub fn holds_gig(job: &Job, gig: &Gig) -> bool {
    job.role == Role::Worker
        && job.gig.author == gig.author
        && job.gig.d == gig.d
        && !job.phase.is_over()
        && job.phase != Phase::Declined
}

/// Whether terms are sound and are what the gig offers, but for the price, which a person judges.
fn fits(terms: &Terms, gig: &Gig) -> Result<(), Refusal> {
    let offer = &gig.offer;
    if !offer.milestones.is_empty() || !terms.milestones.is_empty() {
        return fits_in_milestones(terms, gig);
    }
    if !offer.modes.contains(&terms.mode) {
        return Err(no("mode-not-offered", "The gig does not offer this settlement mode."));
    }
    if terms.price < LEAST_PRICE {
        let sentence =
            format!("The price is below {LEAST_PRICE}: too small to be safe on the chain.");
        return Err(no("price-too-small", sentence));
    }
    let tranches = terms.tranches;
    if tranches == 0 || tranches > MOST_TRANCHES || terms.mode != Mode::Sealed && tranches != 1 {
        return Err(no("bad-tranches", format!("{tranches} tranches are not possible here.")));
    }
    if terms.price.tranche(0, tranches).is_none_or(|part| part < LEAST_PRICE) {
        let sentence = format!("Each tranche must be at least {LEAST_PRICE}.");
        return Err(no("tranche-too-small", sentence));
    }
    let Deadlines { deliver, pay } = terms.deadlines;
    if deliver > LONGEST_PHASE || pay > LONGEST_PHASE || deliver.0 == 0 || pay.0 == 0 {
        return Err(no("bad-deadlines", "A deadline is nothing or over 90 days."));
    }
    let escrow = offer.escrow.as_ref().filter(|_| terms.mode == Mode::Escrow);
    if terms.mode == Mode::Escrow {
        let Some(escrow) = escrow else {
            return Err(no("no-escrow", "The gig does not say how its escrow would be."));
        };
        escrow.check()?;
    }
    let same = terms.v == 1
        && terms.escrow.as_ref() == escrow
        && terms.work == offer.work
        && terms.max_bytes == offer.max_bytes
        && terms.deadlines == offer.deadlines
        && terms.quality == offer.quality.bare()
        && terms.network == gig.network;
    if same { Ok(()) } else { Err(no("terms-differ", "The terms are not those of the gig.")) }
}

/// The same where the gig has milestones: they are the gig's, each at its price, in tranches as the worker wishes.
fn fits_in_milestones(terms: &Terms, gig: &Gig) -> Result<(), Refusal> {
    let offer = &gig.offer;
    offer.check_milestones()?;
    terms.check_milestones()?;
    let same_parts = terms.milestones.len() == offer.milestones.len()
        && terms.milestones.iter().zip(&offer.milestones).all(|(t, o)| *t == o.bare(t.tranches));
    let same = terms.v == 1
        && same_parts
        && terms.work == offer.work
        && terms.max_bytes == offer.max_bytes
        && terms.network == gig.network;
    if same { Ok(()) } else { Err(no("terms-differ", "The terms are not those of the gig.")) }
}

/// What a requester knows when a bid comes in.
#[derive(Debug, Clone, Copy)]
pub struct Door<'a> {
    /// The listing version that the bid names, if it is one of ours.
    pub answers: Option<&'a Gig>,
    /// The newest version of it.
    pub newest: Option<&'a Gig>,
    /// Our identity.
    pub me: Pubkey,
    /// Now.
    pub now: Time,
    /// Slots that are not awarded.
    pub slots_left: u32,
    /// Bids of this identity on this gig that wait for an answer.
    pub waiting: usize,
    /// Whether the session key was seen in another bid.
    pub session_known: bool,
    /// Hash of the bid's canonical terms.
    pub terms: Digest,
}

/// Whether a bid is let in. Its signatures, size and proof of work were checked before.
pub fn admit<'a>(
    record: &'a Record,
    certificate: &Certificate,
    door: &Door<'_>,
) -> Result<&'a Bid, Refusal> {
    let Body::Bid(bid) = &record.draft.body else {
        return Err(no("wrong-body", "Not a bid."));
    };
    let (Some(gig), Some(newest)) = (door.answers, door.newest) else {
        return Err(no("unknown-gig", "The bid answers a listing that is not ours."));
    };
    takes_bids(newest, gig.network, door.now)?;
    if door.now >= gig.expires_at {
        return Err(no("gig-expired", "The gig has expired: it takes no more bids."));
    }
    if door.slots_left == 0 {
        return Err(no("gig-full", "Every slot of the gig is awarded."));
    }
    fits(&bid.terms, gig)?;
    let too_small = |terms: Terms| {
        terms.tranches > 1
            && terms.price.tranche(0, terms.tranches).is_none_or(|part| part < bid.least_first)
    };
    if bid.terms.parts().any(too_small) {
        let sentence = "The bidder's node has no channel that a price in parts could come over.";
        return Err(no("no-room-for-parts", sentence));
    }
    if record.draft.seq != 0 || record.draft.prev.is_some() || record.draft.job.is_some() {
        return Err(no("broken-chain", "The bid does not begin a chain."));
    }
    if door.session_known {
        return Err(no("certificate-replayed", "The bid's session key was used before."));
    }
    let c = certificate;
    let certified = c.role == Role::Worker
        && c.counterparty == door.me
        && c.session == record.author
        && c.terms == door.terms
        && c.network == bid.terms.network
        && c.identity != door.me;
    if !certified {
        return Err(no("wrong-certificate", "The bid's certificate is not for this bid."));
    }
    apart(&bid.terms, [&c.identity, &door.me])?;
    if c.endpoint != bid.address.endpoint {
        return Err(no("wrong-endpoint", "The bid's address is not the certified endpoint."));
    }
    if door.now >= bid.valid_until {
        return Err(no("bid-lapsed", "The bid has lapsed."));
    }
    if door.waiting >= MOST_BIDS {
        return Err(no("too-many-bids", "This person has enough bids waiting on this gig."));
    }
    Ok(bid)
}

//! The limits of what records and listings say, for what we write and for what we read alike.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::event::is_point;
use super::limits::{
    ADDRESSES, BLOB_BYTES, BLOCKS, DEADLINE_MAX, DEADLINE_MIN, INPUT_BYTES, INPUTS, INVOICE_BYTES,
    LOCKS, MESSAGE_BYTES, MILESTONES, MODES, NAME_BYTES, NOTE_BYTES, POW, PRICE_MAX, PRICE_MIN,
    REASON_BYTES, RELAYS_MAX, RELAYS_MIN, SLOTS, TRANCHE_MIN, TRANCHES, URL_BYTES, WINDOW,
};
use super::rejected::{Code, Rejected};
use crate::market::{
    Address, Attachment, Body, Deadlines, EscrowTerms, LODGED_BYTES, Lock, MOST_AUDITED, Mode,
    Msat, Offer, Quality, Terms, nested,
};
use crate::text::Raw;

/// Text of at most so many bytes. What characters are in it is the reader's concern: see
/// [`crate::text`].
pub(crate) fn text(what: &str, text: &Raw, limit: usize) -> Result<(), Rejected> {
    if text.0.len() <= limit {
        return Ok(());
    }
    let bytes = text.0.len();
    Err(Rejected::limit(format!("{what} has {bytes} bytes; at most {limit} are taken")))
}

/// One to three relays, each a `ws://` or `wss://` URL, none twice.
pub(crate) fn relays(relays: &[String]) -> Result<(), Rejected> {
    if !(RELAYS_MIN..=RELAYS_MAX).contains(&relays.len()) {
        let sentence =
            format!("{} relays are named; {RELAYS_MIN} to {RELAYS_MAX} are", relays.len());
        return Err(Rejected::limit(format!("{sentence} taken")));
    }
    for (i, relay) in relays.iter().enumerate() {
        let shaped = relay.len() <= URL_BYTES && relay.is_ascii();
        let url = url::Url::parse(relay).ok().filter(|u| {
            let kept = u.username().is_empty() && u.password().is_none() && u.fragment().is_none();
            matches!(u.scheme(), "ws" | "wss") && u.has_host() && kept
        });
        if !shaped || url.is_none() || relays[..i].contains(relay) {
            let sentence = "a relay is not a ws:// or wss:// address, or is named twice";
            return Err(Rejected::limit(sentence));
        }
    }
    Ok(())
}

/// At most eight `ip:port` and at most one iroh relay.
pub(crate) fn address(address: &Address) -> Result<(), Rejected> {
    if address.direct.len() > ADDRESSES {
        let sentence = format!("an endpoint names more than {ADDRESSES} addresses");
        return Err(Rejected::limit(sentence));
    }
    for direct in &address.direct {
        let parsed = if direct.len() <= 64 { direct.parse::<SocketAddr>().ok() } else { None };
        if parsed.is_none_or(|a| a.port() == 0 || a.ip().is_unspecified()) {
            return Err(Rejected::limit("an endpoint names an address that is not ip:port"));
        }
    }
    if let Some(relay) = &address.relay {
        let http = |u: &url::Url| matches!(u.scheme(), "https" | "http") && u.has_host();
        if relay.len() > URL_BYTES || !url::Url::parse(relay).is_ok_and(|u| http(&u)) {
            return Err(Rejected::limit("an endpoint names a relay that is not an http address"));
        }
    }
    Ok(())
}

fn attachment(a: &Attachment, limit: u64) -> Result<(), Rejected> {
    text("a file name", &a.name, NAME_BYTES)?;
    if a.size == 0 || a.size > limit {
        let sentence = format!("a file has {} bytes; 1 to {limit} are taken", a.size);
        return Err(Rejected::limit(sentence));
    }
    Ok(())
}

fn inputs(inputs: &[Attachment]) -> Result<(), Rejected> {
    if inputs.len() > INPUTS {
        return Err(Rejected::limit(format!("more than {INPUTS} input files are named")));
    }
    inputs.iter().try_for_each(|a| attachment(a, INPUT_BYTES))
}

fn deadlines(d: &Deadlines) -> Result<(), Rejected> {
    let fits = |s| (DEADLINE_MIN..=DEADLINE_MAX).contains(&s);
    if fits(d.deliver) && fits(d.pay) {
        return Ok(());
    }
    let sentence = format!("a deadline is not between {DEADLINE_MIN} and {DEADLINE_MAX}");
    Err(Rejected::limit(sentence))
}

fn price(price: Msat) -> Result<(), Rejected> {
    if (PRICE_MIN..=PRICE_MAX).contains(&price.get()) {
        return Ok(());
    }
    Err(Rejected::limit(format!("a price of {price} is not between 1 sat and 1 bitcoin")))
}

fn deliverable(bytes: u64) -> Result<(), Rejected> {
    if (1..=BLOB_BYTES).contains(&bytes) {
        return Ok(());
    }
    Err(Rejected::limit(format!(
        "a deliverable of {bytes} bytes is not between 1 and {BLOB_BYTES}"
    )))
}

/// Agreed on exactly where it is needed, and of a window that can be held.
fn escrow(escrow: Option<&EscrowTerms>, named: bool) -> Result<(), Rejected> {
    let fits = match escrow {
        Some(terms) => named && WINDOW.contains(&terms.window),
        None => !named,
    };
    if fits {
        return Ok(());
    }
    Err(Rejected::limit("an escrow is missing, not asked for, or of a window that cannot be"))
}

fn lock(lock: &Lock) -> Result<(), Rejected> {
    if lock.milestone < MILESTONES && lock.attempt < LOCKS {
        return Ok(());
    }
    Err(Rejected::limit("a lock is of a milestone or a try that cannot be"))
}

fn height(what: &str, height: u32) -> Result<(), Rejected> {
    if (1..BLOCKS).contains(&height) {
        return Ok(());
    }
    Err(Rejected::limit(format!("{what} {height} is no height of a chain")))
}

fn invoice(invoice: &str) -> Result<(), Rejected> {
    let plain = invoice.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain && !invoice.is_empty() && invoice.len() <= INVOICE_BYTES {
        return Ok(());
    }
    Err(Rejected::limit(format!("an invoice is not 1 to {INVOICE_BYTES} letters and digits")))
}

fn version(what: &str, v: u32) -> Result<(), Rejected> {
    if v == 1 {
        return Ok(());
    }
    let sentence = format!("{what} are of version {v}, which this program does not speak");
    Err(Rejected::new(Code::UnknownVersion, sentence))
}

/// What a listing offers.
pub(crate) fn offer(offer: &Offer) -> Result<(), Rejected> {
    version("the terms", offer.v)?;
    let repeated = (1..offer.modes.len()).any(|i| offer.modes[..i].contains(&offer.modes[i]));
    if offer.modes.is_empty() || offer.modes.len() > MODES || repeated {
        return Err(Rejected::limit(
            "the settlement modes are none, or one of them is there twice",
        ));
    }
    if !(1..=SLOTS).contains(&offer.slots) {
        return Err(Rejected::limit(format!("{} slots are not 1 to {SLOTS}", offer.slots)));
    }
    price(offer.price)?;
    deliverable(offer.max_bytes)?;
    deadlines(&offer.deadlines)?;
    escrow(offer.escrow.as_ref(), offer.modes.contains(&Mode::Escrow))?;
    if offer.pow > POW {
        let sentence = format!("{} bits of proof of work; at most {POW} may be asked", offer.pow);
        return Err(Rejected::limit(sentence));
    }
    if !is_point(&offer.inbox.key) {
        return Err(Rejected::limit("the inbox's key is not a public key"));
    }
    relays(&offer.inbox.relays)?;
    quality(&offer.quality)?;
    offer.check_milestones().map_err(|why| Rejected::limit(why.sentence))?;
    inputs(&offer.inputs)
}

/// What a delivery is held against.
fn quality(quality: &Quality) -> Result<(), Rejected> {
    quality.check().map_err(|why| Rejected::limit(why.sentence))
}

/// What a bid binds itself to.
fn terms(terms: &Terms) -> Result<(), Rejected> {
    version("the terms", terms.v)?;
    price(terms.price)?;
    if !(1..=TRANCHES).contains(&terms.tranches) {
        let sentence = format!("{} tranches are not 1 to {TRANCHES}", terms.tranches);
        return Err(Rejected::limit(sentence));
    }
    if terms.milestones.is_empty()
        && terms.tranches > 1
        && terms.price.get() / u64::from(terms.tranches) < TRANCHE_MIN
    {
        return Err(Rejected::limit("a tranche of several would pay less than 1,000 sat"));
    }
    if terms.quality != terms.quality.bare() {
        return Err(Rejected::limit("a bid carries the body of a check"));
    }
    quality(&terms.quality)?;
    deliverable(terms.max_bytes)?;
    escrow(terms.escrow.as_ref(), terms.mode == Mode::Escrow)?;
    terms.check_milestones().map_err(|why| Rejected::limit(why.sentence))?;
    if terms.milestones.iter().any(|m| m.quality != m.quality.bare()) {
        return Err(Rejected::limit("a bid carries the body of a check"));
    }
    deadlines(&terms.deadlines)
}

/// What a record says.
pub(crate) fn check(body: &Body) -> Result<(), Rejected> {
    match body {
        Body::Bid(bid) => {
            terms(&bid.terms)?;
            relays(&bid.relays)?;
            address(&bid.address)?;
            text("a message", &bid.message, MESSAGE_BYTES)
        }
        Body::Award(award) => {
            relays(&award.relays)?;
            address(&award.address)?;
            award.lock.as_ref().map_or(Ok(()), lock)?;
            inputs(&award.inputs)
        }
        Body::Dispute { reason, secrets, .. } => {
            if secrets.len() > TRANCHES as usize {
                return Err(Rejected::limit("a dispute has more secrets than tranches"));
            }
            text("a reason", reason, REASON_BYTES)
        }
        Body::Decline { reason }
        | Body::Withdraw { reason }
        | Body::Reject { reason, .. }
        | Body::Objection { reason, .. }
        | Body::Ruling { reason, .. }
        | Body::Cancel { reason } => text("a reason", reason, REASON_BYTES),
        Body::Material(material) => attachment(material, BLOB_BYTES),
        Body::Deliver(delivery) => {
            text("a file name", &delivery.name, NAME_BYTES)?;
            text("a message", &delivery.message, MESSAGE_BYTES)?;
            if delivery.keys.len() > delivery.manifest.h.len() {
                return Err(Rejected::limit("a delivery has more keys than tranches"));
            }
            deliverable(delivery.vector_size)
        }
        Body::Open { keys, .. } => opened(keys),
        Body::Ready { tranche: t, .. } => tranche(*t),
        Body::Bill { tranche: t, invoice: text, .. } => tranche(*t).and_then(|()| invoice(text)),
        Body::Lock(new) => lock(new),
        Body::Fund { attempt, invoice: text, height: end } => {
            attempts(*attempt)?;
            height("the end", *end)?;
            invoice(text)
        }
        Body::Funded { attempt, deadline } => {
            attempts(*attempt)?;
            height("the deadline", *deadline)
        }
        Body::Lodge { record } => lodged(record),
        Body::Lodged { record, height: at } => lodged(record).and_then(|()| height("the tip", *at)),
        Body::Holding { address: at, .. } => address(at),
        // What travels inside is judged when it is read.
        Body::Appoint { .. } => Ok(()),
        Body::Rate { stars, comment } => {
            if !(1..=5).contains(stars) {
                return Err(Rejected::limit("a rating is not one to five"));
            }
            text("a comment", comment, MESSAGE_BYTES)
        }
        Body::Note { text: note } => text("a note", note, NOTE_BYTES),
        Body::Audit { .. } | Body::Accept { .. } | Body::Settled { .. } => Ok(()),
    }
}

/// A signed record inside another: what is in it is judged when it is read.
fn lodged(record: &str) -> Result<(), Rejected> {
    if nested(record, 2) <= LODGED_BYTES {
        return Ok(());
    }
    Err(Rejected::limit("a record is too long to be handed to a judge"))
}

fn attempts(attempt: u32) -> Result<(), Rejected> {
    if attempt < LOCKS {
        return Ok(());
    }
    Err(Rejected::limit(format!("try {attempt} cannot be: there are at most {LOCKS}")))
}

/// Keys of 32 bytes, together in base64.
fn opened(keys: &str) -> Result<(), Rejected> {
    let most = usize::try_from(MOST_AUDITED).unwrap_or(usize::MAX) * 32;
    let bytes = (keys.len() <= most.div_ceil(3) * 4).then(|| STANDARD.decode(keys).ok()).flatten();
    if bytes.is_some_and(|bytes| bytes.len() % 32 == 0 && bytes.len() <= most) {
        return Ok(());
    }
    Err(Rejected::limit("the opened keys are no keys, or more than one answer opens"))
}

fn tranche(t: u32) -> Result<(), Rejected> {
    if t < TRANCHES {
        return Ok(());
    }
    Err(Rejected::limit(format!("tranche {t} cannot be: there are at most {TRANCHES}")))
}

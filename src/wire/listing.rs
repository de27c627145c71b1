//! The gig as strangers see it: a NIP-99 listing that any classifieds client can show.

use nostr::{Event, Tag};

use super::body;
use super::canonical::{read_canonical, to_canonical};
use super::event::{self, SigningKey};
use super::limits::{
    D_BYTES, FUTURE, HASHTAG_BYTES, HASHTAGS, LISTING_BYTES, LISTING_KEPT, LISTING_LIFE,
    LISTING_TAGS, SUMMARY_BYTES, TITLE_BYTES,
};
use super::rejected::{Code, Rejected};
use crate::market::{EventId, Gig, Msat, Network, Offer, Pubkey, Side, Status, Time, Work};
use crate::text::Raw;

/// The kind of a listing (NIP-99).
pub const LISTING: u16 = 30402;
/// The kind of a listing that is not published yet (NIP-99).
pub const DRAFT: u16 = 30403;
/// The `y` tag and the label namespace: which program's market this is.
pub const CLIENT: &str = "earnest";

/// Whether a listing is for everybody yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Kind 30403: readers of the market do not take it.
    Draft,
    /// Kind 30402.
    Published,
}

impl Stage {
    fn kind(self) -> u16 {
        match self {
            Self::Draft => DRAFT,
            Self::Published => LISTING,
        }
    }
}

/// Everything that strangers will see of a gig, before it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The tags, name first, as they go out.
    pub tags: Vec<Vec<String>>,
    /// The Markdown, as it goes out.
    pub content: Raw,
    /// The size of the whole event, in bytes; at most [`LISTING_BYTES`].
    pub bytes: usize,
}

/// The name of a chain in the `n` tag and in a certificate.
pub fn network_name(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "bitcoin",
        Network::Signet => "signet",
        Network::Testnet => "testnet",
        Network::Regtest => "regtest",
    }
}

pub(crate) fn network(name: &str) -> Result<Network, Rejected> {
    [Network::Bitcoin, Network::Signet, Network::Testnet, Network::Regtest]
        .into_iter()
        .find(|n| network_name(*n) == name)
        .ok_or_else(|| Rejected::tag("n", "names no chain that this program knows"))
}

/// Signs a listing with an identity. `gig.id` and `gig.author` are what comes out, not what goes in.
/// Refuses, before signing, whatever a reader would refuse.
pub fn publish(
    identity: &SigningKey,
    gig: &Gig,
    stage: Stage,
) -> Result<(EventId, String), Rejected> {
    let tags = tags(gig)?;
    let content = gig.content.0.clone();
    let draft = event::unsigned(identity.pubkey(), gig.at, stage.kind(), tags, content);
    let json = event::to_json(&identity.sign(draft)?)?;
    let read = read_kind(&json, stage.kind())?;
    let same = Gig { id: read.id, author: read.author, ..gig.clone() };
    if read != same {
        let sentence = "the listing would not read back as it was written";
        return Err(Rejected::new(Code::BadField, sentence));
    }
    Ok((read.id, json))
}

/// What strangers will see, without a key. Refuses what [`publish`] would refuse for its size or form.
pub fn preview(gig: &Gig) -> Result<Preview, Rejected> {
    check(gig)?;
    let tags = tags(gig)?;
    let author = if event::is_point(&gig.author) { gig.author } else { Pubkey([1; 32]) };
    let mut draft = event::unsigned(author, gig.at, LISTING, tags.clone(), gig.content.0.clone());
    draft.ensure_id();
    let json = nostr::JsonUtil::try_as_json(&draft)
        .map_err(|_| Rejected::new(Code::NotAnEvent, "the listing has no JSON form"))?;
    // `,"sig":"` and 64 bytes in hex and `"`.
    let bytes = json.len() + 8 + 128 + 1;
    if bytes > LISTING_BYTES {
        return Err(Rejected::too_large("the listing", bytes, LISTING_BYTES));
    }
    let tags = tags.into_iter().map(Tag::to_vec).collect();
    Ok(Preview { tags, content: gig.content.clone(), bytes })
}

/// Reads a stranger's listing: size, kind, id, signature, tags, terms, limits and date.
pub fn read_listing(json: &str, now: Time) -> Result<Gig, Rejected> {
    let gig = read_kind(json, LISTING)?;
    if gig.at > now.after(FUTURE) {
        let ahead = now.until(gig.at);
        let sentence = format!("the listing is dated {ahead} in the future");
        return Err(Rejected::new(Code::FutureDated, sentence));
    }
    Ok(gig)
}

fn read_kind(json: &str, kind: u16) -> Result<Gig, Rejected> {
    let event = event::read(json, LISTING_BYTES, kind, "the listing")?;
    if event.tags.len() > LISTING_TAGS {
        return Err(Rejected::limit(format!("the listing has more than {LISTING_TAGS} tags")));
    }
    if event::one(&event, "y")? != CLIENT {
        return Err(Rejected::tag("y", "is not of this market"));
    }
    let terms = event::one(&event, "terms")?;
    let offer: Offer = read_canonical(terms, LISTING_BYTES, "the tag `terms`")?;
    let (side, work) = labels(&event)?;
    if work != offer.work {
        return Err(Rejected::tag("l", "names other work than `terms`"));
    }
    if price(&event)? != [decimal_sats(offer.price).as_str(), "SAT"] {
        return Err(Rejected::tag("price", "is not the price in `terms`"));
    }
    let moment = |name: &str| event::number(event::one(&event, name)?, name).map(Time);
    let gig = Gig {
        id: event::id(&event),
        author: event::author(&event),
        d: event::one(&event, "d")?.to_owned(),
        at: event::at(&event),
        published_at: moment("published_at")?,
        title: Raw(event::one(&event, "title")?.to_owned()),
        summary: Raw(event::one(&event, "summary")?.to_owned()),
        tags: hashtags(&event)?,
        content: Raw(event.content.clone()),
        side,
        status: status(&event)?,
        network: network(event::one(&event, "n")?)?,
        expires_at: moment("expires_at")?,
        offer,
    };
    check(&gig)?;
    if moment("expiration")? < gig.expires_at {
        return Err(Rejected::tag("expiration", "is before `expires_at`"));
    }
    Ok(gig)
}

fn tags(gig: &Gig) -> Result<Vec<Tag>, Rejected> {
    let (s, status) = match gig.status {
        Status::Open => ("open", "active"),
        Status::Reserved => ("reserved", "active"),
        Status::Closed => ("closed", "sold"),
    };
    let mut tags = vec![
        event::tag("d", [&gig.d]),
        event::tag("title", [&gig.title.0]),
        event::tag("summary", [&gig.summary.0]),
        event::tag("published_at", [&gig.published_at.0.to_string()]),
        event::tag("price", [&decimal_sats(gig.offer.price), "SAT"]),
        event::tag("status", [status]),
        event::tag("s", [s]),
        event::tag("n", [network_name(gig.network)]),
        event::tag("y", [CLIENT]),
        event::tag("L", [CLIENT]),
        event::tag("l", [side_name(gig.side), CLIENT]),
        event::tag("l", [work_name(gig.offer.work), CLIENT]),
        event::tag("expires_at", [&gig.expires_at.0.to_string()]),
        event::tag("expiration", [&gig.expires_at.after(LISTING_KEPT).0.to_string()]),
    ];
    tags.extend(gig.tags.iter().map(|t| event::tag("t", [t.as_str()])));
    tags.push(event::tag("terms", [&to_canonical(&gig.offer)?]));
    Ok(tags)
}

/// The limits of a gig, for what we write and for what we read.
fn check(gig: &Gig) -> Result<(), Rejected> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    if gig.d.is_empty() || gig.d.len() > D_BYTES || !gig.d.bytes().all(plain) {
        let wrong = format!("is not 1 to {D_BYTES} letters, digits or `-_.:`");
        return Err(Rejected::tag("d", &wrong));
    }
    if gig.title.0.trim().is_empty() {
        return Err(Rejected::limit("the listing has no title"));
    }
    body::text("the title", &gig.title, TITLE_BYTES)?;
    body::text("the summary", &gig.summary, SUMMARY_BYTES)?;
    if gig.tags.len() > HASHTAGS {
        return Err(Rejected::limit(format!("the listing has more than {HASHTAGS} hashtags")));
    }
    for (i, t) in gig.tags.iter().enumerate() {
        let fits = !t.is_empty() && t.len() <= HASHTAG_BYTES;
        let word =
            t.chars().all(|c| (c.is_alphanumeric() && !c.is_uppercase()) || "-_".contains(c));
        if !fits || !word || gig.tags[..i].contains(t) {
            let wrong = format!(
                "is not a hashtag: lower-case letters, digits, `-` or `_`, at most {HASHTAG_BYTES} \
                 bytes, each once"
            );
            return Err(Rejected::tag("t", &wrong));
        }
    }
    if gig.published_at > gig.at {
        return Err(Rejected::tag("published_at", "is after the listing's own date"));
    }
    if gig.expires_at <= gig.published_at || gig.expires_at > gig.at.after(LISTING_LIFE) {
        let wrong = format!("is not within {LISTING_LIFE} of the listing's date");
        return Err(Rejected::tag("expires_at", &wrong));
    }
    body::offer(&gig.offer)
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Service => "service",
    }
}

fn work_name(work: Work) -> &'static str {
    match work {
        Work::File => "file",
        Work::Label => "label",
        Work::Meter => "meter",
        Work::Judge => "judge",
    }
}

/// Satoshis as a decimal, the way classifieds clients read a price: `21`, `21.5`.
fn decimal_sats(price: Msat) -> String {
    match (price.whole_sats(), price.get() % 1000) {
        (sats, 0) => sats.to_string(),
        (sats, rest) => format!("{sats}.{rest:03}").trim_end_matches('0').to_owned(),
    }
}

fn price(event: &Event) -> Result<[&str; 2], Rejected> {
    let mut found = event.tags.iter().map(Tag::as_slice).filter(|t| t[0] == "price");
    match (found.next(), found.next()) {
        (Some([_, amount, currency]), None) => Ok([amount, currency]),
        _ => Err(Rejected::tag("price", "is not one amount in SAT")),
    }
}

fn hashtags(event: &Event) -> Result<Vec<String>, Rejected> {
    let found = event.tags.iter().map(Tag::as_slice).filter(|t| t[0] == "t");
    found
        .map(|t| match t {
            [_, value] => Ok(value.clone()),
            _ => Err(Rejected::tag("t", "does not have exactly one value")),
        })
        .collect()
}

/// `s` says it, and a classifieds client that marks a listing sold closes it.
fn status(event: &Event) -> Result<Status, Rejected> {
    let status = match event::one(event, "s")? {
        "open" => Status::Open,
        "reserved" => Status::Reserved,
        "closed" => Status::Closed,
        _ => return Err(Rejected::tag("s", "is none of open, reserved, closed")),
    };
    match event::maybe(event, "status")? {
        None | Some("active") => Ok(status),
        Some("sold") => Ok(Status::Closed),
        Some(_) => Err(Rejected::tag("status", "is neither active nor sold")),
    }
}

/// The two self-labels in our namespace; labels in other namespaces are not ours to judge.
fn labels(event: &Event) -> Result<(Side, Work), Rejected> {
    let (mut side, mut work) = (None, None);
    let mut declared = false;
    for tag in event.tags.iter().map(Tag::as_slice) {
        match tag {
            [l, space] if l == "L" && space == CLIENT => declared = true,
            [l, value, space] if l == "l" && space == CLIENT => {
                let s = [Side::Request, Side::Service].into_iter().find(|s| side_name(*s) == value);
                let w = [Work::File, Work::Label, Work::Meter, Work::Judge]
                    .into_iter()
                    .find(|w| work_name(*w) == value);
                match (s, w) {
                    (Some(s), _) if side.is_none() => side = Some(s),
                    (_, Some(w)) if work.is_none() => work = Some(w),
                    _ => return Err(Rejected::tag("l", "has a label twice or one unknown")),
                }
            }
            _ => {}
        }
    }
    match (declared, side, work) {
        (true, Some(side), Some(work)) => Ok((side, work)),
        _ => Err(Rejected::tag("l", "does not say what is wanted, in our namespace")),
    }
}

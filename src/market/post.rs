//! Posts: gigs of ours, from the draft to the last version published.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::market::{
    Actor, Attachment, Deadlines, EscrowTerms, EventId, Fact, Gig, LEAST_PRICE, LONGEST_PHASE,
    Milestone, Mode, Msat, Nonce, Quality, Refusal, Status, Time, Work,
};

/// What a requester writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GigDraft {
    /// One line.
    pub title: String,
    /// A few lines; may be empty.
    pub summary: String,
    /// Markdown.
    pub content: String,
    /// Hashtags.
    pub tags: Vec<String>,
    /// What is asked for.
    pub work: Work,
    /// Settlement modes, the preferred first.
    pub modes: Vec<Mode>,
    /// How many workers.
    pub slots: u32,
    /// The price of one slot.
    pub price: Msat,
    /// The largest deliverable, in bytes.
    pub max_bytes: u64,
    /// Deadlines.
    pub deadlines: Deadlines,
    /// How an escrow would be; the usual one when absent and the modes name it.
    #[serde(default)]
    pub escrow: Option<EscrowTerms>,
    /// What a delivery is held against, with the bodies of its checks.
    #[serde(default)]
    pub quality: Quality,
    /// The parts that it is done in, with the bodies of their checks: see [`GigDraft::in_milestones`].
    #[serde(default)]
    pub milestones: Vec<Milestone>,
    /// Proof of work asked of a bid, in leading zero bits.
    pub pow: u8,
    /// No bids after this.
    pub expires_at: Time,
}

/// The most proof of work that may be asked: about a minute of one core.
pub const MOST_POW: u8 = 24;
/// The most slots.
pub const MOST_SLOTS: u32 = 10_000;

impl GigDraft {
    /// Whether it can be published.
    pub fn check(&self, now: Time) -> Result<(), Refusal> {
        let no = |code: &str, sentence: String| {
            Err(Refusal::new(code, format!("{sentence} Nothing was published.")))
        };
        if self.title.trim().is_empty() {
            return no("no-title", "The gig has no title.".into());
        }
        if self.title.lines().count() > 1 {
            return no("bad-title", "The title has more than one line.".into());
        }
        // A judge's fee is an ordinary invoice, and may be small.
        if self.price < LEAST_PRICE && self.work != Work::Judge {
            return no("price-too-small", format!("The price is below {LEAST_PRICE}."));
        }
        if self.modes.is_empty() {
            return no("no-mode", "The gig names no settlement mode.".into());
        }
        let named = self.modes.contains(&Mode::Escrow);
        if self.escrow.is_some() && !named {
            let sentence = "The gig says how an escrow would be and does not offer one.";
            return no("no-escrow", sentence.into());
        }
        if let Some(Err(why)) = self.escrow.as_ref().map(EscrowTerms::check) {
            return no(&why.code, why.sentence);
        }
        if let Err(why) = self.check_milestones() {
            return no(&why.code, why.sentence);
        }
        if !self.milestones.is_empty() && self.work != Work::File {
            return no("bad-milestones", "Only work that is a file has milestones.".into());
        }
        if self.slots == 0 || self.slots > MOST_SLOTS {
            return no("bad-slots", format!("Slots are from 1 to {MOST_SLOTS}."));
        }
        if self.pow > MOST_POW {
            return no("bad-pow", format!("At most {MOST_POW} bits of proof of work."));
        }
        if let Err(why) = self.quality.check() {
            return no(&why.code, why.sentence);
        }
        if self.max_bytes == 0 {
            return no("bad-size", "The largest deliverable is zero bytes.".into());
        }
        if self.expires_at <= now || now.until(self.expires_at) > LONGEST_PHASE {
            return no("bad-expiry", "The gig must expire within the next 90 days.".into());
        }
        let Deadlines { deliver, pay } = self.deadlines;
        if deliver.0 == 0 || pay.0 == 0 || deliver > LONGEST_PHASE || pay > LONGEST_PHASE {
            return no("bad-deadlines", "A deadline is nothing or over 90 days.".into());
        }
        Ok(())
    }
}

/// A gig of ours: the fold of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The log: the id of the first version.
    pub id: EventId,
    /// Every version published: a bid may answer any of them.
    pub versions: BTreeMap<EventId, Gig>,
    /// The newest.
    pub newest: EventId,
    /// What the inbox key is derived from.
    pub nonce: Nonce,
    /// Inputs and where our copies lie.
    pub inputs: Vec<(Attachment, PathBuf)>,
    /// The automated actor that published it; `None` for a person.
    pub by: Option<Actor>,
    /// What makes it one gig however often it is asked for.
    pub key: Option<String>,
    /// How many facts.
    pub n: u64,
}

impl Post {
    /// Begins with the first fact of the log; `None` unless it is a post.
    pub fn begin(fact: &Fact) -> Option<Self> {
        let Fact::Posted { gig, nonce, paths, by, key, .. } = fact else { return None };
        Some(Self {
            id: gig.id,
            versions: BTreeMap::from([(gig.id, (**gig).clone())]),
            newest: gig.id,
            nonce: *nonce,
            inputs: paths.clone(),
            by: by.clone(),
            key: key.clone(),
            n: 1,
        })
    }

    /// Folds one more fact.
    pub fn apply(&mut self, fact: &Fact) {
        self.n += 1;
        if let Fact::Revised { gig, .. } = fact {
            self.newest = gig.id;
            self.versions.insert(gig.id, (**gig).clone());
        }
    }

    /// The newest version.
    pub fn gig(&self) -> Option<&Gig> {
        self.versions.get(&self.newest)
    }

    /// The next version with another status; `None` if it has that status already. Newer than the last by
    /// at least a second: of two versions in one second the lower id would win (NIP-01).
    pub fn revise(&self, status: Status, now: Time) -> Option<Gig> {
        let gig = self.gig()?;
        if gig.status == status {
            return None;
        }
        let at = Time(now.0.max(gig.at.0 + 1));
        Some(Gig { status, at, ..gig.clone() })
    }
}

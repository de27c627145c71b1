//! Whose bid is taken.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::purse::{Lack, Purse};
use super::standing::{Stand, Standing};
use super::{Asker, Deed, Intent, may};
use crate::bot::Choose;
use crate::engine::JobView;
use crate::market::{Msat, Pubkey, Status, Time, Verb};

/// The bids of one item, and when they are looked at.
pub(super) struct Bids<'a> {
    pub(super) item: usize,
    pub(super) stand: &'a Stand<'a>,
    pub(super) standing: &'a Standing<'a>,
    pub(super) now: Time,
    pub(super) at: Instant,
}

impl Asker {
    /// Takes a bid on a gig that is open, if one will do; an error where it cannot be promised its money.
    pub(super) fn choose(
        &mut self,
        Bids { item, stand, standing, now, at }: Bids<'_>,
        purse: &mut Purse<'_>,
        busy: &mut BTreeMap<Pubkey, u32>,
        awarded: &mut u32,
        out: &mut Vec<Intent>,
    ) -> Result<(), Lack> {
        let Some((_, post)) = stand.newest() else { return Ok(()) };
        if post.gig.status != Status::Open || post.gig.expires_at <= now {
            return Ok(());
        }
        let price = self.price_of(&self.queue.items()[item]);
        let mut open: Vec<&JobView> = Vec::new();
        for bid in &stand.bids {
            let no = match () {
                () if standing.book.cheats.contains_key(&bid.peer) => {
                    Some("You sealed something for us that was not what you signed.")
                }
                () if bid.price > price => Some("That is more than this pays."),
                () if !self.policy.template.draft.modes.contains(&bid.mode) => {
                    Some("Not in this settlement mode.")
                }
                () => None,
            };
            match no {
                Some(no) if may(bid, Verb::Decline) => {
                    out.push(Intent::of_job(Deed::Decline(no), bid, no).for_item(item));
                }
                None if may(bid, Verb::Award) => open.push(bid),
                _ => {}
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        let since = *self.first_bid.entry(item).or_insert(at);
        // Whoever has done nothing for us yet gets one job: all that a stranger can take before it is caught.
        let free = |bid: &&&JobView| {
            let known = standing.book.did.contains_key(&bid.peer);
            let most = if known { self.policy.per_worker } else { 1 };
            busy.get(&bid.peer).copied().unwrap_or(0) < most && !self.aside.contains_key(&bid.id)
        };
        let best = open.iter().filter(free).min_by_key(|bid| {
            let did = standing.book.did.get(&bid.peer).copied().unwrap_or(0);
            let rank = match self.policy.choose {
                Choose::First => (0, Msat::ZERO),
                Choose::Cheapest => (0, bid.price),
                Choose::Trusted => (u64::MAX - did, bid.price),
            };
            // Of equals whoever has least to do.
            (rank, busy.get(&bid.peer).copied().unwrap_or(0), bid.since, bid.id)
        });
        let Some(best) = best else { return Ok(()) };
        if at.duration_since(since) < self.policy.wait || *awarded >= self.policy.at_once {
            return Ok(());
        }
        purse.promise(best.price, best.tranches)?;
        *awarded += 1;
        *busy.entry(best.peer).or_default() += 1;
        self.first_bid.remove(&item);
        let why = format!("the {} of {} bids", self.word(), open.len());
        out.push(Intent::of_job(Deed::Award, best, why).for_item(item));
        Ok(())
    }

    fn word(&self) -> &'static str {
        match self.policy.choose {
            Choose::First => "first",
            Choose::Cheapest => "cheapest",
            Choose::Trusted => "most trusted",
        }
    }
}

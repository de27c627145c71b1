//! What the engine answers, and what follows from a no.

use tokio::time::Instant;

use super::{Bot, LONGEST, is_loud};
use crate::bot::{Deed, Event, Intent};
use crate::engine::{Fault, Receipt, Trouble};

/// Refusals that pass: money comes back, windows move on, relays say what they know. Any other would be the
/// same however often it is asked.
const PASSING: [&str; 15] = [
    "below-least-first",
    "bid-twice",
    "bot-stopped",
    "budget-day",
    "budget-gigs",
    "budget-hour",
    "budget-person",
    "budget-risk",
    "insufficient-funds",
    "judge-unknown",
    "needs-approval",
    "no-inbound",
    "no-room",
    "no-room-for-parts",
    "over-limit",
];

/// Refusals that only say that we were late: no news for anybody.
const LATE: [&str; 6] =
    ["wrong-phase", "accepted", "paying", "bid-twice", "gig-full", "not-inspected"];

/// Whether the same would be refused again, whatever happens meanwhile.
fn is_for_good(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Refused(why) => !PASSING.contains(&why.code.as_str()),
        Trouble::Failed(Fault::Later(_)) => false,
        Trouble::Failed(Fault::Never(_)) | Trouble::NotFound { .. } => true,
    }
}

/// Why not, for the person.
fn sentence(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Refused(why) => {
            let next = why.next.as_ref().map(|next| format!(" Next: {next}")).unwrap_or_default();
            format!("{}: {}{next}", why.code, why.sentence)
        }
        other => other.to_string(),
    }
}

impl Bot<'_> {
    /// The engine has answered.
    pub(super) fn answered(
        &mut self,
        answer: Result<Receipt, Trouble>,
        intent: Intent,
        event: Event,
        at: Instant,
    ) {
        let trouble = match answer {
            Ok(receipt) => {
                let facts = self.unseen.get(&receipt.log).map_or(0, |(facts, _)| *facts);
                let seen = (receipt.facts.max(facts), at);
                self.unseen.insert(receipt.log, seen);
                if let (Deed::Deliver(_), Some(worker)) = (&intent.deed, &mut self.worker) {
                    worker.handed(&receipt.log);
                    self.clear_up();
                }
                if is_loud(&intent.deed) {
                    self.say(Event { log: Some(receipt.log), ..event });
                }
                return;
            }
            Err(trouble) => trouble,
        };
        let why = sentence(&trouble);
        let late = matches!(&trouble, Trouble::Refused(why) if LATE.contains(&why.code.as_str()));
        if !late {
            self.once(Event { what: "refused", why: why.clone(), ..event.clone() });
        }
        let full = matches!(&trouble, Trouble::Refused(why) if why.code == "budget-person");
        if let (true, Deed::Award, Some(bid), Some(asker)) =
            (full, &intent.deed, intent.log, &mut self.asker)
        {
            asker.set_aside(bid, at + LONGEST);
        }
        let proven = matches!(&trouble, Trouble::Refused(why) if why.code == "proven-fraud");
        if let (true, Some(job), Some(asker)) = (proven, intent.log, &mut self.asker) {
            asker.convict(job);
        }
        if is_for_good(&trouble) {
            self.lets_go(&intent, &event, &why);
        }
    }

    /// What would be refused again is not asked again: its place is another's.
    fn lets_go(&mut self, intent: &Intent, event: &Event, why: &str) {
        match (&intent.deed, intent.item, intent.log) {
            (Deed::Post(_), Some(item), _) => {
                if let Some(asker) = &mut self.asker {
                    asker.give_up(item, why);
                }
                let why = format!("{why} This item is given up; no money moved for it.");
                self.once(Event { what: Deed::GiveUp.word(), why, ..event.clone() });
            }
            (Deed::Bid(_), _, Some(gig)) => {
                if let Some(worker) = &mut self.worker {
                    worker.refused(gig);
                }
            }
            // What cannot be handed over as it is has to be made anew, or not at all.
            (Deed::Deliver(_), _, Some(job)) => {
                if let Some(worker) = &mut self.worker {
                    worker.handed(&job);
                }
                self.clear_up();
            }
            _ => {}
        }
    }
}

//! Listings of strangers, which come by the ten thousand.

use super::again::Untold;
use super::*;

impl<S: Store> Core<S> {
    /// Events of relays in the order they came, with what came of each; listings that follow each other are
    /// committed as one. Signatures and sizes are checked already. What cannot be committed now is told
    /// again: see [`Core::is_behind`].
    pub fn hear_all(&mut self, events: &[RelayEvent]) -> Vec<Result<Taken, Fault>> {
        let mut heard = Vec::with_capacity(events.len());
        for alike in events.chunk_by(|a, b| is_listing(a) && is_listing(b)) {
            match alike {
                [first, ..] if is_listing(first) => heard.extend(self.hear_listings(alike)),
                others => heard.extend(others.iter().map(|event| self.hear(event))),
            }
        }
        heard
    }

    /// The same, of listings alone.
    pub(super) fn hear_listings(&mut self, events: &[RelayEvent]) -> Vec<Result<Taken, Fault>> {
        let mut commit = Commit::default();
        let taken = events.iter().map(|event| self.read_into(event, &mut commit)).collect();
        if commit == Commit::default() {
            return taken;
        }
        let Err(fault) = self.store.commit(&commit) else { return taken };
        let [event] = events else {
            // One of them may be the trouble, and keeps back no other.
            return events.chunks(1).flat_map(|one| self.hear_listings(one)).collect();
        };
        if let Fault::Later(_) = &fault {
            self.keep_untold(Untold::Event(event.clone()));
        }
        vec![Err(fault)]
    }

    /// Reads a listing for the commit. What cannot be read is remembered too, so that no work is done
    /// twice for it.
    fn read_into(&self, event: &RelayEvent, commit: &mut Commit) -> Result<Taken, Fault> {
        if self.muted.contains_key(&event.author) {
            return Ok(Taken::Nothing);
        }
        let now = self.clock.now();
        let mark = Mark::relay(&event.id, now);
        if commit.echoes.contains(&mark) || self.store.seen(&mark.source, &mark.key)? {
            return Ok(Taken::Nothing);
        }
        commit.echoes.push(mark);
        let gig = match self.scribe.read_listing(&event.json) {
            Ok(gig) => gig,
            Err(why) => return Ok(Taken::Refused(why)),
        };
        if gig.network != self.me.network {
            let sentence = "The listing is on another network.".into();
            return Ok(Taken::Refused(Unreadable { code: "wrong-network".into(), sentence }));
        }
        // A clock that runs ahead must not hide what honest clocks publish meanwhile.
        commit.cursor = Some(("listings".into(), gig.at.min(now)));
        commit.gigs.push((gig, event.json.clone()));
        Ok(Taken::New)
    }
}

pub(super) fn is_listing(event: &RelayEvent) -> bool {
    matches!(event.kind, 30402 | 30403)
}

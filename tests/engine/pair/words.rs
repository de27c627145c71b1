//! Words that no engine decided: forged by somebody who holds the keys.

use earnest::engine::*;
use earnest::market::*;

use super::{Pair, Who, relayed};

impl Pair {
    /// The award, as the requester signed it.
    pub(crate) fn first_of(&self, who: Who) -> Body {
        let rows = self.core(who).store().log(&self.id()).unwrap();
        let award = rows.iter().find(|row| row.kind == "awarded").unwrap();
        match serde_json::from_str(&award.body).unwrap() {
            Fact::Awarded { record, .. } => record.draft.body,
            other => panic!("{other:?}"),
        }
    }

    /// The channel as this side derives it.
    pub(crate) fn channel(&self, who: Who) -> Channel {
        let (nonce, peer, job) = self.job(who).channel().unwrap();
        Channel { nonce, peer, job }
    }

    /// A channel event of this side that its own engine never made: signed by its own session key, in
    /// order, after whatever the other side has heard from it.
    pub(crate) fn forge(
        &self,
        who: Who,
        body: Body,
        bend: impl FnOnce(&mut Draft),
    ) -> (Record, RelayEvent) {
        let theirs = self.job(who.other()).theirs;
        let mut draft = Draft {
            job: self.job(who).job,
            seq: theirs.next,
            prev: theirs.last.map(|r| r.id),
            seen: self.job(who.other()).ours.last.map(|r| r.id),
            at: self.now(),
            body,
        };
        bend(&mut draft);
        let channel = self.channel(who);
        let keys = &self.side(who).keys;
        let record = keys.sign(&channel.nonce, &draft).unwrap();
        let event = keys.post(&channel, &record, self.now()).unwrap();
        (record, relayed(&event.json))
    }

    /// The same in one job of several.
    pub(crate) fn forge_in(&self, id: &BidId, who: Who, body: Body) -> RelayEvent {
        let (mine, other) =
            (self.core(who).job(id).unwrap(), self.core(who.other()).job(id).unwrap());
        let draft = Draft {
            job: mine.job,
            seq: other.theirs.next,
            prev: other.theirs.last.as_ref().map(|r| r.id),
            seen: other.ours.last.as_ref().map(|r| r.id),
            at: self.now(),
            body,
        };
        let (nonce, peer, job) = mine.channel().unwrap();
        let keys = &self.side(who).keys;
        let record = keys.sign(&nonce, &draft).unwrap();
        let event = keys.post(&Channel { nonce, peer, job }, &record, self.now()).unwrap();
        relayed(&event.json)
    }

    /// Says it to the other side; what became of it there.
    pub(crate) fn say(&mut self, who: Who, body: Body) -> Taken {
        let (_, event) = self.forge(who, body, |_| {});
        self.hear(who.other(), &event)
    }

    pub(crate) fn hear(&mut self, who: Who, event: &RelayEvent) -> Taken {
        self.core_mut(who).hear(event).unwrap()
    }
}

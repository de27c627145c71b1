//! The people of our jobs: what became of each, and whom we do not want to hear.

use super::*;
use crate::engine::{MOST_MUTED, MuteView, PersonView};
use crate::market::{Limits, Standing, Testimony, standing};

/// How long relays are asked about somebody whom a person looks at.
const LOOKS: Span = Span::MINUTE.times(10);
/// The most that are looked at at once: each is named to every relay.
const MOST_LOOKED: usize = 50;

impl<S: Store> Core<S> {
    /// Does not show this author's gigs and bids from now on, or shows them again. What was agreed with
    /// them goes on. Muting the muted changes nothing.
    pub fn mute(&mut self, who: &Pubkey, mute: bool) -> Result<(), Trouble> {
        if *who == self.identity() {
            let sentence = "This key is your own. Nothing was changed.";
            return Err(Refusal::new("own-key", sentence).into());
        }
        if mute == self.muted.contains_key(who) {
            return Ok(());
        }
        if mute && self.muted.len() >= MOST_MUTED {
            let sentence = format!("{MOST_MUTED} are muted already. Nothing was changed.");
            return Err(Refusal::new("too-many-muted", sentence)
                .next("Take one off: earnest mute KEY --remove")
                .into());
        }
        let since = mute.then(|| self.clock.now());
        self.store.commit(&Commit { mutes: vec![(*who, since)], ..Commit::default() })?;
        match since {
            Some(at) => self.muted.insert(*who, at),
            None => self.muted.remove(who),
        };
        let of = self.jobs.values().filter(|job| job.peer() == *who);
        self.changed.logs.extend(of.map(|job| job.id));
        Ok(())
    }

    /// Who is muted, the longest first.
    pub fn mutes(&self) -> Vec<MuteView> {
        let mut all: Vec<MuteView> =
            self.muted.iter().map(|(key, at)| MuteView { key: *key, at: *at }).collect();
        all.sort_by_key(|mute| (mute.at, mute.key));
        all
    }

    /// Whether nobody wants to see this job: a bid of a muted author that nothing came of.
    pub fn hides(&self, job: &Job) -> bool {
        job.role == Role::Requester && job.job.is_none() && self.muted.contains_key(&job.peer())
    }

    /// Everybody of our jobs, whoever was heard last first, at most `limit`; only `who` where somebody is
    /// named, with nothing in it if nothing is known.
    pub fn people(&self, who: Option<&Pubkey>, limit: usize) -> Vec<PersonView> {
        let mut all: BTreeMap<Pubkey, PersonView> = BTreeMap::new();
        if let Some(who) = who {
            all.insert(*who, PersonView::of(*who));
        }
        for job in self.jobs.values() {
            let peer = job.peer();
            if who.is_none_or(|who| *who == peer) {
                all.entry(peer).or_insert_with(|| PersonView::of(peer)).count(job);
            }
        }
        let mut all: Vec<PersonView> = all.into_values().collect();
        for person in &mut all {
            person.muted = self.muted.get(&person.key).copied();
        }
        // Reading what was said of everybody would take long; of one it is asked for.
        if let (Some(who), [person]) = (who, &mut all[..]) {
            person.standing = self.standing(who).ok();
            person.limits = self.limits(who).ok();
        }
        all.sort_by_key(|person| (std::cmp::Reverse(person.heard_at), person.key));
        all.truncate(limit);
        all
    }

    /// Somebody looks at this person: relays are asked for its receipts and for proofs against it, for a while.
    pub fn look_at(&mut self, who: &Pubkey) {
        let now = self.clock.now();
        self.looked.retain(|_, until| now < *until);
        if self.looked.len() < MOST_LOOKED && *who != self.identity() {
            // Relays are asked about whoever was not looked at before.
            self.changed.whole |= self.looked.insert(*who, now.after(LOOKS)).is_none();
        }
    }

    /// What this person's record is worth to us.
    pub fn standing(&self, who: &Pubkey) -> Result<Standing, Fault> {
        let own = |who: &Pubkey| self.past(who);
        let said = self.store.testimonies(who)?;
        let now = self.clock.now();
        Ok(standing(who, &self.identity(), own, &self.follows, &said, now))
    }

    /// How much of ours this person may hold.
    pub fn limits(&self, who: &Pubkey) -> Result<Limits, Fault> {
        Ok(self.me.policy.limits(&self.standing(who)?))
    }

    /// Whether something is proven against this person: its standing without the points.
    pub(super) fn is_proven(&self, who: &Pubkey) -> Result<bool, Fault> {
        if self.past(who).is_some_and(|past| past.caught > 0) {
            return Ok(true);
        }
        let against =
            |said: &Testimony| matches!(said, Testimony::Proof { against, .. } if against == who);
        Ok(self.store.testimonies(who)?.iter().any(against))
    }

    /// Takes a receipt or a proof that somebody handed over, as an event, or a proof by itself. Whether it is new.
    pub fn import(&mut self, json: &str) -> Result<bool, Trouble> {
        let testimony = self.scribe.read_testimony(json).map_err(|why| {
            Refusal::new(&why.code, format!("{}. Nothing was taken.", capital(&why.sentence)))
        })?;
        let known = self.knows(&testimony)?;
        self.store.commit(&Commit { testimonies: vec![testimony], ..Commit::default() })?;
        Ok(!known)
    }

    fn knows(&self, testimony: &Testimony) -> Result<bool, Fault> {
        let name = testimony.name();
        let Some(who) = testimony.about().first().copied() else { return Ok(true) };
        Ok(self.store.testimonies(&who)?.iter().any(|known| known.name() == name))
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

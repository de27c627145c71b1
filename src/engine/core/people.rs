//! The people of our jobs: what became of each, and whom we do not want to hear.

use super::*;
use crate::engine::{MOST_MUTED, MuteView, PersonView};

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
        self.changed.extend(self.jobs.values().filter(|job| job.peer() == *who).map(|job| job.id));
        self.reposted = true;
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
        all.sort_by_key(|person| (std::cmp::Reverse(person.heard_at), person.key));
        all.truncate(limit);
        all
    }
}

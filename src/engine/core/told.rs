//! What was worth telling, told again: the same facts give the same notices.

use super::*;
use crate::engine::ToldNotice;
use crate::market::fact_id;

impl<S: Store> Core<S> {
    /// Notices after this place, of at most `limit` facts, and the place up to which they are told. Without
    /// a place: none, and where things stand now.
    ///
    /// # Errors
    /// What the store says.
    pub fn told(&self, after: Option<u64>, limit: usize) -> Result<(Vec<ToldNotice>, u64), Fault> {
        let Some(after) = after else { return Ok((Vec::new(), self.store.newest_fact()?)) };
        let rows = self.store.facts_after(after, limit)?;
        let upto = rows.last().map_or(after, |(seq, _)| *seq);
        let mut told = Vec::new();
        for (seq, row) in rows {
            let upto = usize::try_from(row.n).unwrap_or(usize::MAX).saturating_add(1);
            let mut log = self.store.log(&row.log)?;
            log.truncate(upto);
            // As it was with this fact and before any later one.
            let Ok(Folded::Job(job)) = fold(&row.log, &log) else { continue };
            let Ok(fact) = serde_json::from_str::<Fact>(&row.body) else { continue };
            if let Some(notice) = Notice::of(&job, &fact, row.at) {
                told.push(ToldNotice { seq, id: fact_id(&row.log, row.n), notice });
            }
        }
        Ok((told, upto))
    }
}

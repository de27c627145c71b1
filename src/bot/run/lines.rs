//! The lines of the queue: which are new, and how they come.

use super::Bot;
use crate::bot::{Event, Item};
use crate::engine::Snapshot;

impl Bot<'_> {
    /// What an earlier run has begun is gone on with only if that is meant.
    pub(super) fn begin(&mut self, first: &Snapshot) -> Result<(), String> {
        let mine = first.posts.iter().filter(|post| post.by.as_ref() == Some(&self.policy.actor));
        let ids = mine.filter_map(|post| Some(post.key.as_deref()?.split('#').next()?.to_owned()));
        self.before = ids.collect();
        let Some(asker) = &self.asker else { return Ok(()) };
        for item in asker.queue.items() {
            self.is_new(&item.id)?;
        }
        Ok(())
    }

    fn is_new(&self, id: &str) -> Result<(), String> {
        if self.options.resume || self.options.dry || !self.before.contains(id) {
            return Ok(());
        }
        Err(format!(
            "{} has published a gig for item {id} before. To go on where it was: --resume. To do everything \
             once more: give the policy another name",
            self.policy.actor
        ))
    }

    /// Reads what comes to its end.
    pub(super) async fn read_whole_feed(&mut self) {
        while let Some(feed) = self.options.feed.as_mut() {
            let lines = feed.next().await;
            self.take(lines);
        }
    }

    /// More lines of a queue that is read as it comes; none at its end.
    pub(super) fn take(&mut self, lines: Vec<Result<Item, String>>) {
        let ended = lines.is_empty();
        let mut wrong = None;
        for line in lines {
            match line {
                Ok(item) => {
                    if let Err(why) = self.is_new(&item.id) {
                        // What runs goes on: this line alone is left out.
                        let why = format!("this line is left out: {why}");
                        self.say(Event::new("skipped", why).item(&item.id));
                    } else if let Some(asker) = &mut self.asker {
                        wrong = asker.queue.push(item).err();
                    }
                }
                Err(why) => wrong = Some(why),
            }
            if wrong.is_some() {
                break;
            }
        }
        if !ended && wrong.is_none() {
            return;
        }
        if let Some(why) = wrong {
            let text = format!("{why}. Nothing after it is read; what came before is done.");
            self.say(Event::new("queue-wrong", text.clone()));
            self.queue_is_wrong = Some(text);
        }
        if let Some(asker) = &mut self.asker {
            asker.queue.closed = true;
        }
        self.options.feed = None;
    }
}

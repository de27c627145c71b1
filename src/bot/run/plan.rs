//! What a dry run says before anything else: how much there is to do, what of it cannot be done, and the most
//! that all of it can cost. Nothing but questions reaches the engine.

use super::Bot;
use crate::bot::{Asker, Event, Item};
use crate::market::{Budget, Time, allow_post};

impl Bot<'_> {
    /// Says it once, when the whole queue is read.
    pub(super) async fn plan(&mut self, now: &crate::engine::Snapshot) {
        if self.planned || !self.asker.as_ref().is_some_and(|asker| asker.queue.closed) {
            return;
        }
        let budget = match self.handle.budget().await {
            Ok(view) => view.budget,
            Err(why) => return self.once(Event::new("waits", why.to_string())),
        };
        self.planned = true;
        let wall = self.options.clock.now();
        let Some(asker) = &mut self.asker else { return };
        let all = asker.queue.items().len();
        let mut wrong = Vec::new();
        for (n, item) in asker.queue.items().iter().enumerate() {
            if let Err(why) = would_be_refused(asker, item, &budget, wall) {
                wrong.push((n, item.id.clone(), why));
            }
        }
        for (n, _, why) in &wrong {
            asker.give_up(*n, why);
        }
        let (items, once, most) = asker.most(now, &budget, wall);
        let tries = asker.policy().tries;
        let refused = match wrong.len() {
            0 => String::new(),
            n => format!(", {n} of them would be refused"),
        };
        let done = match all - items - wrong.len() {
            0 => String::new(),
            n => format!(", {n} of them are done"),
        };
        let why = format!(
            "{all} items{refused}{done}. Done once, they cost at most {once}; never more than {most}, where each \
             is paid {tries} times because somebody cheats. Routing is included. Nothing was published and \
             nothing is paid by this run"
        );
        for (_, id, why) in wrong {
            self.say(Event::new("refused", format!("it would not be published: {why}")).item(&id));
        }
        self.say(Event::new("plan", why).amount(most));
    }
}

/// What the engine would say to the gig of an item, as far as that can be known without asking it.
fn would_be_refused(asker: &Asker, item: &Item, budget: &Budget, now: Time) -> Result<(), String> {
    let (draft, inputs) = asker.draft(item, now);
    let said = draft.check(now).and_then(|()| allow_post(&draft, budget, 0));
    said.map_err(|why| format!("{}: {}", why.code, why.sentence))?;
    match inputs.iter().find(|input| !input.is_file()) {
        Some(input) => Err(format!("{} is no file that can be read", input.display())),
        None => Ok(()),
    }
}

//! As a worker: looks for gigs it can do, bids, does them and hands them over.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;

use crate::engine::{Command, GigView, JobView, MaterialView, Snapshot};
use crate::market::{Gig, LEAST_PRICE, Mode, Msat, Network, Phase, Query, Role, Side, Wish};
use crate::sandbox::market::What;
use crate::sandbox::people::Person;
use crate::sandbox::people::trade::{self, Ask, BY_HAND, Care, Kind};

/// Bids that wait and jobs that are worked on, at once.
const MOST_AT_ONCE: usize = 2;
/// Seconds after which a bid that nobody answers is taken back.
const BID_WAITS: f64 = 90.0;
/// Deliveries of one job, at most.
const MOST_TRIES: u32 = 3;
/// A cheat cheats once in so many sealed deliveries, the first of them included.
const CHEATS_ONCE_IN: u32 = 3;

impl Person {
    pub(super) async fn as_worker(&mut self, view: &JobView, open: bool) {
        match view.phase {
            Phase::Bid if open && self.thought(view.id, "wait", BID_WAITS) => {
                self.forget(view.id, "wait");
                let reason = "I have taken something else.".to_owned();
                let _ = self.ask(Command::Withdraw { job: view.id, reason }).await;
            }
            Phase::Working if view.delivery.is_none() => self.do_it(view).await,
            Phase::Settled => self.be_glad(view).await,
            Phase::Declined => self.finish(view.id),
            phase if phase.is_over() => self.finish(view.id),
            _ => {}
        }
    }

    /// Does the work once every input is here, and hands it over.
    async fn do_it(&mut self, view: &JobView) {
        let inputs: Option<Vec<&MaterialView>> = {
            let theirs = view.materials.iter().filter(|m| m.from == Role::Requester);
            theirs.map(|m| m.path.is_some().then_some(m)).collect()
        };
        let Some(inputs) = inputs else { return };
        let tries = self.tries.get(&view.id).copied().unwrap_or(0);
        if tries >= MOST_TRIES {
            if self.thought(view.id, "give up", 3.0) {
                self.forget(view.id, "give up");
                let reason = "I cannot do it better. Nothing is owed.".to_owned();
                let _ = self.ask(Command::Cancel { job: view.id, reason }).await;
            }
            return;
        }
        if !self.thought(view.id, "work", 3.0) {
            return;
        }
        self.forget(view.id, "work");
        *self.tries.entry(view.id).or_default() += 1;
        let Ok(Some(gig)) = self.handle().gig(view.gig).await else { return };
        let care = self.care(view, tries);
        let file = match self.work(view, &gig, &inputs, care).await {
            Ok(done) => done,
            Err(why) => {
                tracing::warn!(who = self.character.id, %why, "the work cannot be written");
                return;
            }
        };
        self.perhaps_cheat(view);
        let (path, message) = file;
        let deliver = Command::Deliver { job: view.id, file: path, message };
        if self.ask(deliver).await.is_ok() {
            match view.mode {
                Mode::Sealed => self.sealed += 1,
                Mode::Direct | Mode::Escrow => self.direct += 1,
            }
            let with = self.teller.called(&view.peer);
            let how = match view.mode {
                Mode::Sealed => "sealed",
                Mode::Direct | Mode::Escrow => "in the open",
            };
            let text =
                format!("{} delivered “{}” to {with}, {how}", self.character.name, view.title);
            self.tell(
                What::Delivered,
                Some(&view.peer),
                &view.title,
                view.price.whole_sats(),
                text,
            );
        }
    }

    async fn work(
        &self,
        view: &JobView,
        gig: &GigView,
        inputs: &[&MaterialView],
        care: Care,
    ) -> std::io::Result<(PathBuf, String)> {
        let mut ask = Ask {
            title: gig.title.to_string(),
            content: gig.content.to_string(),
            tags: gig.tags.iter().map(ToString::to_string).collect(),
            inputs: Vec::new(),
        };
        for input in inputs {
            if let Some(path) = &input.path {
                let bytes = tokio::fs::read(path).await?;
                ask.inputs
                    .push((crate::text::file_name(&input.name.as_str().into()).to_string(), bytes));
            }
        }
        let done = tokio::task::spawn_blocking(move || trade::work(&ask, care)).await?;
        let folder = self.desk.join("work").join(view.id.short());
        tokio::fs::create_dir_all(&folder).await?;
        let name = crate::text::file_name(&done.name.as_str().into()).to_string();
        let path = folder.join(name);
        tokio::fs::write(&path, &done.bytes).await?;
        Ok((path, done.message))
    }

    /// Whoever is in a hurry is so where it costs only a second try.
    fn care(&self, view: &JobView, tries: u32) -> Care {
        let hasty = self.character.hasty
            && view.mode == Mode::Direct
            && tries == 0
            && self.direct.is_multiple_of(2);
        if hasty { Care::Hasty } else { Care::Careful }
    }

    fn perhaps_cheat(&mut self, view: &JobView) {
        if self.character.cheats
            && view.mode == Mode::Sealed
            && self.sealed.is_multiple_of(CHEATS_ONCE_IN)
        {
            self.cheats.lock().unwrap_or_else(PoisonError::into_inner).insert(view.id);
        }
    }

    /// It is paid.
    async fn be_glad(&mut self, view: &JobView) {
        let received = view.delivery.as_ref().map_or(Msat::ZERO, |d| d.received);
        let comment = "Paid in the same second. Gladly again.".to_owned();
        let _ = self.ask(Command::Rate { job: view.id, stars: 5, comment }).await;
        let with = self.teller.called(&view.peer);
        let text =
            format!("{} was paid {received} by {with} for “{}”", self.character.name, view.title);
        self.tell(What::Paid, Some(&view.peer), &view.title, received.whole_sats(), text);
        self.finish(view.id);
    }

    /// Looks into the book for something it can do, and bids on it after a moment.
    pub(super) async fn look_for_work(&mut self, snapshot: &Snapshot) {
        let Some(node) = &snapshot.node else { return };
        let Some(least) = node.least_first else { return };
        // Whoever has a channel with room waits for that: another one costs a fee.
        let room = node.balances.lightning_receivable;
        if Instant::now() < self.next_look {
            return;
        }
        let wait = self.chance.random_range(1.0..2.5) * self.pace.haste();
        self.next_look = Instant::now() + Duration::from_secs_f64(wait);
        let busy = |job: &JobView| {
            job.role == Role::Worker && matches!(job.phase, Phase::Bid | Phase::Working)
        };
        let busy = snapshot.jobs.values().filter(|job| busy(job)).count();
        if busy >= MOST_AT_ONCE {
            return;
        }
        let query = Query { side: Some(Side::Request), ..Query::everything(Network::Regtest) };
        let Ok(page) = self.handle().find(query).await else { return };
        for gig in page.gigs {
            let known = snapshot.jobs.values().any(|job| job.gig == gig.id);
            let name = (gig.author, gig.d.clone());
            if known || Some(gig.author) == snapshot.identity || self.answered.contains(&name) {
                continue;
            }
            let payable = (least..=room).contains(&gig.offer.price);
            if !payable || !self.suits(&gig) || !self.thought(gig.id, "bid", 2.5) {
                continue;
            }
            self.forget(gig.id, "bid");
            self.answered.insert(name);
            self.bid(&gig, least).await;
            return;
        }
    }

    fn suits(&self, gig: &Gig) -> bool {
        if gig.tags.iter().any(|tag| tag == BY_HAND) {
            return false;
        }
        match Kind::of(gig.title.as_received(), gig.content.as_received(), &gig.tags) {
            Some(kind) => self.character.does.contains(&kind),
            None => self.character.anything,
        }
    }

    async fn bid(&self, gig: &Gig, least: Msat) {
        let sealed = gig.offer.modes.contains(&Mode::Sealed) && self.character.cheats;
        let asked = gig.offer.price;
        let less = asked.get() - asked.get() / 100 * self.character.discount;
        let price = Msat::new(less / 100_000 * 100_000).unwrap_or(asked);
        let price = price.max(least).max(LEAST_PRICE).min(asked);
        let wish = Wish {
            mode: sealed.then_some(Mode::Sealed),
            price: (price != asked).then_some(price),
            tranches: None,
        };
        let message = self.character.bids.to_owned();
        if self.ask(Command::Bid { gig: gig.id, wish, message }).await.is_ok() {
            let view = GigView::of(gig);
            let with = self.teller.called(&gig.author);
            let text = format!("{} bid {price} on “{}” of {with}", self.character.name, view.title);
            self.tell(What::Bid, Some(&gig.author), &view.title, price.whole_sats(), text);
        }
    }
}

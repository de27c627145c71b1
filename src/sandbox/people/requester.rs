//! As a requester: thinks of gigs, awards them, looks at what comes and pays for it, or says why not.

use std::path::Path;

use rand::Rng as _;
use tokio::time::Instant;

use crate::engine::{Command, JobView, PostView, Snapshot, Trouble};
use crate::market::{
    Deadlines, EventId, GigDraft, Mode, Msat, Network, Phase, Pubkey, Quality, Query, Side, Span,
    Status, Time, Work,
};
use crate::sandbox::market::What;
use crate::sandbox::people::Person;
use crate::sandbox::people::trade::{BY_HAND, Kind, Task};
use crate::sandbox::world::now;

/// Gigs of one person that are open at once.
const MOST_OWN: usize = 4;
/// Rejections after which a job is given up.
const PATIENCE: u32 = 6;
/// Tries to pay, one after the other.
const TRIES: u32 = 5;
/// How long a cheat is remembered, in seconds.
const GRUDGE: u64 = 600;
/// The most of a delivery that is read.
const READ: u64 = 1 << 20;

impl Person {
    pub(super) async fn as_requester(&mut self, snapshot: &Snapshot, view: &JobView, open: bool) {
        match view.phase {
            Phase::Bid if open => self.consider(snapshot, view).await,
            Phase::Delivered if view.delivery.as_ref().is_some_and(|d| d.inspected) => {
                self.receive(view).await;
            }
            Phase::Settled => self.thank(view).await,
            Phase::Cheated => self.complain(view).await,
            // An award could still come; it will not.
            Phase::Declined => self.finish(view.id),
            phase if phase.is_over() => self.finish(view.id),
            _ => {}
        }
    }

    async fn consider(&mut self, snapshot: &Snapshot, view: &JobView) {
        let post = snapshot.posts.iter().find(|post| is_of(view, post));
        let Some(post) = post else { return };
        let no = match () {
            () if grudge(snapshot, &view.peer) => {
                Some("The last thing that you sealed for me did not open. I have the proof.")
            }
            () if post.gig.status != Status::Open || post.awarded >= post.gig.slots => {
                Some("Somebody else was faster. There will be more.")
            }
            () if view.price > post.gig.price => Some("That is more than the gig pays."),
            () => None,
        };
        if let Some(reason) = no {
            if self.thought(view.id, "no", 1.0) {
                let reason = reason.to_owned();
                let _ = self.ask(Command::Decline { job: view.id, reason }).await;
            }
            return;
        }
        // A moment for others to bid too; whoever works by hand is not kept waiting.
        let by_hand = post.gig.tags.iter().any(|tag| &**tag == BY_HAND);
        let stranger = self.teller.name(&view.peer).is_none();
        let moment = if by_hand || stranger { 0.7 } else { 3.0 };
        if !self.thought(post.id, "award", moment) {
            return;
        }
        let rivals = snapshot.jobs.values().filter(|job| {
            job.role == view.role
                && job.phase == Phase::Bid
                && is_of(job, post)
                && !grudge(snapshot, &job.peer)
        });
        // Mostly the cheapest, now and then whoever was first; whoever has done well here before is worth more.
        let thrifty = post.id.0[0] % 3 != 0;
        let best = rivals.min_by_key(|job| {
            let worth =
                job.price.saturating_sub(job.price.ppm(50_000 * trust(snapshot, &job.peer)));
            (if thrifty { worth } else { Msat::ZERO }, job.since, job.id)
        });
        let affordable = spendable(snapshot) >= view.price;
        if best.is_none_or(|best| best.id != view.id) || !affordable {
            return;
        }
        self.forget(post.id, "award");
        if self.ask(Command::Award { job: view.id }).await.is_ok() {
            let with = self.teller.called(&view.peer);
            let text = format!(
                "{} awarded “{}” to {with} for {}",
                self.character.name, view.title, view.price
            );
            self.tell(What::Awarded, Some(&view.peer), &view.title, view.price.whole_sats(), text);
        }
    }

    /// Looks at a delivery: what is sealed is paid unseen, what is open is read first.
    async fn receive(&mut self, view: &JobView) {
        if !self.thought(view.id, "look", 1.2) {
            return;
        }
        self.forget(view.id, "look");
        let tries = *self.tries.entry(view.id).or_default();
        let verdict = match view.mode {
            Mode::Sealed => Ok(()),
            Mode::Direct | Mode::Escrow => self.verdict(view).await,
        };
        let command = match verdict {
            Ok(()) if tries >= PATIENCE + TRIES => return,
            Ok(()) => Command::Accept { job: view.id, max_fee: most_fee(view.price) },
            Err(why) if tries >= PATIENCE => {
                Command::Cancel { job: view.id, reason: format!("Let us leave it at that. {why}") }
            }
            Err(why) => Command::Reject { job: view.id, reason: why },
        };
        *self.tries.entry(view.id).or_default() += 1;
        let told = match &command {
            Command::Reject { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        let answer = self.ask(command).await;
        if matches!(&answer, Err(Trouble::Refused(why)) if why.code == "proven-fraud") {
            let reason = "Something is proven against you: I pay for nothing I cannot see.".into();
            let _ = self.ask(Command::Cancel { job: view.id, reason }).await;
        }
        if answer.is_ok()
            && let Some(why) = told
        {
            let with = self.teller.called(&view.peer);
            let text = format!(
                "{} sent “{}” back to {with}: {why} Nothing was paid.",
                self.character.name, view.title
            );
            self.tell(What::Rejected, Some(&view.peer), &view.title, view.price.whole_sats(), text);
        }
    }

    /// What our own program says of a delivery that can be read.
    async fn verdict(&self, view: &JobView) -> Result<(), String> {
        let Some((_, task)) = self.asked(view) else {
            // Asked for by hand, in this person's name: then a person must look.
            return Ok(());
        };
        let path = view.delivery.as_ref().and_then(|d| d.output.clone());
        let path = path.ok_or("I cannot find your file here. Please deliver it once more.")?;
        let text = read(&path).await?;
        (task.check)(&text)
    }

    fn asked(&self, view: &JobView) -> Option<(Kind, Task)> {
        self.notebook.asked(&view.gig).or_else(|| {
            let watch = self.handle().watch();
            let snapshot = watch.borrow();
            let post = snapshot.posts.iter().find(|post| is_of(view, post))?;
            self.notebook.asked(&post.id)
        })
    }

    /// It is paid. What was sealed can be read only now.
    async fn thank(&mut self, view: &JobView) {
        if !self.thought(view.id, "thank", 1.0) {
            return;
        }
        let (stars, comment) = match self.verdict(view).await {
            Ok(()) => (5, "As asked, and quickly. Thank you.".to_owned()),
            Err(why) => (
                1,
                format!(
                    "It was sealed, so I had to pay before I could read it. It is not what I asked: {why}"
                ),
            ),
        };
        let _ = self.ask(Command::Rate { job: view.id, stars, comment }).await;
        if self.teller.name(&view.peer).is_none() {
            // A resident tells of its own pay.
            let with = self.teller.called(&view.peer);
            let text = format!(
                "{} paid {} to {with} for “{}”",
                self.character.name, view.price, view.title
            );
            self.tell(What::Paid, Some(&view.peer), &view.title, view.price.whole_sats(), text);
        }
        self.finish(view.id);
    }

    /// The key that was paid for opens nothing: the proof is made and published by itself.
    async fn complain(&mut self, view: &JobView) {
        let Some(proof) = view.delivery.as_ref().and_then(|d| d.proof.clone()) else { return };
        let comment = "What you sealed did not open. Everybody can check the proof.".to_owned();
        let _ = self.ask(Command::Rate { job: view.id, stars: 1, comment }).await;
        let with = self.teller.called(&view.peer);
        let text = format!(
            "{} caught {with}: what was paid for “{}” ({}) does not open what was signed. Proof: {}",
            self.character.name,
            view.title,
            view.price,
            proof.display()
        );
        self.teller.tell(crate::sandbox::market::Happening {
            at: now(),
            what: What::Caught,
            who: self.character.name.to_owned(),
            with: Some(with.to_owned()),
            gig: Some(view.title.clone()),
            sats: Some(view.price.whole_sats()),
            proof: Some(proof),
            text,
        });
        self.finish(view.id);
    }

    /// What nobody bids on is taken from the market before it expires.
    pub(super) async fn close_old_gigs(&mut self, snapshot: &Snapshot) {
        let old = |post: &&PostView| {
            let by_hand = post.gig.tags.iter().any(|tag| &**tag == BY_HAND);
            let life = self.pace.life(by_hand);
            post.gig.status == Status::Open
                && post.bids == 0
                && post.awarded == 0
                && post.gig.published_at.after(life) <= Time(now())
                && self.notebook.asked(&post.id).is_some()
        };
        let ids: Vec<EventId> =
            snapshot.posts.iter().map(|post| &**post).filter(old).map(|post| post.id).collect();
        for gig in ids {
            let _ = self.ask(Command::Close { gig }).await;
        }
    }

    /// Posts a gig, if it is time, there is room in the market, and there is money for it.
    pub(super) async fn think_of_a_gig(&mut self, snapshot: &Snapshot) {
        if Instant::now() < self.next_post {
            return;
        }
        let about = self.chance.random_range(0.5..1.5);
        // The first ones come quickly: an empty market teaches nobody.
        let wait = match snapshot.posts.len() {
            0 | 1 => self.pace.every.mul_f64(about / 3.0),
            _ => self.pace.until_next(snapshot.jobs.len(), about),
        };
        self.next_post = Instant::now() + wait;
        if snapshot.posts.iter().filter(|post| takes_bids(post)).count() >= MOST_OWN {
            return;
        }
        let query =
            Query { side: Some(Side::Request), limit: 200, ..Query::everything(Network::Regtest) };
        let Ok(page) = self.handle().find(query).await else { return };
        let tagged =
            |tag: &str| page.gigs.iter().filter(|g| g.tags.iter().any(|t| t == tag)).count();
        let others = page.gigs.len() - tagged(BY_HAND);
        // Of everything that a newcomer can do there is one; it comes first.
        let asks = self.character.asks;
        let missing = asks.iter().find(|kind| kind.by_hand() && tagged(kind.tag()) == 0).copied();
        let trades: Vec<Kind> = asks.iter().filter(|kind| !kind.by_hand()).copied().collect();
        for _ in 0..3 {
            let kind = match missing {
                Some(kind) => kind,
                None if others < self.pace.most_open && !trades.is_empty() => {
                    trades[self.chance.random_range(0..trades.len())]
                }
                None => return,
            };
            let (n, task) = self.notebook.think(kind);
            let there = page.gigs.iter().any(|gig| gig.title.as_received() == task.title);
            if !there && self.can_pay(snapshot, &task) {
                self.publish(kind, n, task).await;
                return;
            }
        }
    }

    /// A node whose first channel is being opened will have money in a moment.
    fn can_pay(&self, snapshot: &Snapshot, task: &Task) -> bool {
        let Some(node) = &snapshot.node else { return true };
        let Some(price) = Msat::sats(task.sats) else { return false };
        node.channels_usable == 0 || spendable(snapshot) >= price
    }

    async fn publish(&mut self, kind: Kind, n: u64, task: Task) {
        let Some(price) = Msat::sats(task.sats) else { return };
        let folder = self.desk.join("asks").join(n.to_string());
        let inputs = match write_all(&folder, &task.inputs).await {
            Ok(inputs) => inputs,
            Err(why) => {
                tracing::warn!(who = self.character.id, %why, "an input cannot be written");
                return;
            }
        };
        let life = self.pace.life(kind.by_hand());
        let draft = GigDraft {
            milestones: Vec::new(),
            quality: Quality::default(),
            title: task.title.clone(),
            summary: task.summary,
            content: format!(
                "{}\n\n{}, {}",
                task.content, self.character.name, self.character.about
            ),
            tags: task.tags,
            work: Work::File,
            modes: task.modes,
            slots: 1,
            price,
            max_bytes: READ,
            deadlines: Deadlines { deliver: Span::HOUR.times(2), pay: Span::HOUR.times(2) },
            escrow: None,
            pow: 8,
            expires_at: Time(now()).after(Span(life.0 * 2 + 60)),
        };
        match self.ask(Command::Post { draft, inputs, key: None }).await {
            Ok(receipt) => {
                if let Err(why) = self.notebook.write(receipt.log, kind, n) {
                    tracing::warn!(who = self.character.id, %why, "the notebook cannot be written");
                }
                let title = crate::text::Raw(task.title).clean(crate::text::Limit::TITLE);
                let text = format!("{} posted “{title}” for {price}", self.character.name);
                self.tell(What::Posted, None, &title, task.sats, text);
            }
            Err(why) => tracing::warn!(who = self.character.id, %why, "a gig was not posted"),
        }
    }
}

/// Whether a bid or a job is of this gig: of its first version, its newest, or by its name.
fn is_of(view: &JobView, post: &PostView) -> bool {
    view.gig == post.id || view.gig == post.gig.id || view.title == post.gig.title
}

fn takes_bids(post: &PostView) -> bool {
    post.gig.status == Status::Open && post.gig.expires_at > Time(now())
}

/// Whether somebody cheated us not long ago.
fn grudge(snapshot: &Snapshot, peer: &Pubkey) -> bool {
    let lately = |job: &JobView| job.since.after(Span(GRUDGE)) > Time(now());
    snapshot
        .jobs
        .values()
        .any(|job| job.phase == Phase::Cheated && job.peer == *peer && lately(job))
}

/// Jobs that somebody has done for us, three at most.
fn trust(snapshot: &Snapshot, peer: &Pubkey) -> u64 {
    let done = |job: &JobView| job.peer == *peer && job.phase == Phase::Settled;
    snapshot.jobs.values().filter(|job| done(job)).take(3).map(|_| 1).sum()
}

/// What can be promised to one more worker.
fn spendable(snapshot: &Snapshot) -> Msat {
    let have = snapshot.node.as_ref().map_or(Msat::ZERO, |n| n.balances.lightning_spendable);
    // A tenth stays for fees and for what is on its way.
    have.saturating_sub(snapshot.reserved).saturating_sub(have.ppm(100_000))
}

fn most_fee(price: Msat) -> Msat {
    price.ppm(10_000)
}

async fn read(path: &Path) -> Result<String, String> {
    let unreadable = |_| "I cannot read your file here. Please deliver it once more.".to_owned();
    let size = tokio::fs::metadata(path).await.map_err(unreadable)?.len();
    if size > READ {
        return Err(format!("Your file has {size} bytes; that cannot be it."));
    }
    let bytes = tokio::fs::read(path).await.map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|_| "Your file is no text.".to_owned())
}

/// Writes files into a folder of their own.
async fn write_all(
    folder: &Path,
    files: &[(String, String)],
) -> std::io::Result<Vec<std::path::PathBuf>> {
    tokio::fs::create_dir_all(folder).await?;
    let mut paths = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        tokio::fs::write(&path, text).await?;
        paths.push(path);
    }
    Ok(paths)
}

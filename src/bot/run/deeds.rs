//! Doing what was decided: each deed is one command to the engine, or one program beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{Asks, Attended, Bot};
use crate::bot::results::Line;
use crate::bot::worker::as_json;
use crate::bot::{
    Accept, Command as Program, Deed, Event, Intent, Item, Job, Limits, Scratch, Stdin, run_command,
};
use crate::engine::{Command, Handle, JobView, Snapshot, Verdict};
use crate::market::{BidId, EventId, Role};

/// What came of a program that ran beside the loop.
pub(super) enum Finished {
    /// The work for a job: the file, or why there is none.
    Work(BidId, Result<PathBuf, String>, Option<Scratch>),
    /// What the verifying command said of the delivery that this job had.
    Verified(Box<JobView>, Verdict, String),
}

impl Bot<'_> {
    /// Does it, or says what the engine is to be asked.
    pub(super) fn act(&mut self, now: &Arc<Snapshot>, intent: Intent, event: Event) -> Attended {
        let Intent { deed, item, log, .. } = intent.clone();
        let job = log.and_then(|log| now.jobs.get(&log).cloned());
        // A log that is not named is none: the engine says that it is not there.
        let id = log.unwrap_or(EventId([0; 32]));
        let command = match deed {
            Deed::Post(key) => match self.draft(item, key) {
                Ok(command) => command,
                Err(why) => {
                    self.once(Event { what: "cannot-post", why, ..event });
                    return Attended::Done;
                }
            },
            Deed::Close => Command::Close { gig: id },
            Deed::Award => Command::Award { job: id },
            Deed::Decline(why) => Command::Decline { job: id, reason: why.into() },
            Deed::Fund(max_fee) => Command::Fund { job: id, max_fee },
            Deed::Accept(max_fee) => Command::Accept { job: id, max_fee },
            Deed::Reject(why) => Command::Reject { job: id, reason: why.into() },
            Deed::Cancel(why) => Command::Cancel { job: id, reason: why.into() },
            Deed::Withdraw(why) => Command::Withdraw { job: id, reason: why.into() },
            Deed::Bid(wish) => {
                let message = self.policy.worker.as_ref().map(|w| w.message.clone());
                Command::Bid { gig: id, wish, message: message.unwrap_or_default() }
            }
            Deed::Deliver(file) => Command::Deliver { job: id, file, message: String::new() },
            // What is waited for is said before it comes here.
            Deed::Leave | Deed::GiveUp | Deed::Wait(..) => {
                self.once(event);
                return Attended::Done;
            }
            Deed::Collect(file) => {
                self.collect(item, job.as_deref(), &file, event);
                return Attended::Done;
            }
            Deed::Verify(file) => {
                if let Some(job) = job {
                    self.verify(&job, file);
                }
                return Attended::Done;
            }
            Deed::Work => {
                if let Some(job) = job {
                    self.begin_work(&job);
                }
                return Attended::Done;
            }
        };
        Attended::Asks(Box::new(Asks { command, intent, event }))
    }

    /// The gig of an item.
    fn draft(&self, item: Option<usize>, key: String) -> Result<Command, String> {
        let asker = self.asker.as_ref().ok_or("nothing is asked for")?;
        let item = item.and_then(|n| asker.queue.items().get(n)).ok_or("the item is gone")?;
        let (draft, mut inputs) = asker.draft(item, self.options.clock.now());
        if asker.policy().attach {
            inputs.push(self.attachment(item).map_err(|why| format!("item.json: {why}"))?);
        }
        Ok(Command::Post { draft, inputs, key: Some(key) })
    }

    fn attachment(&self, item: &Item) -> std::io::Result<PathBuf> {
        let folder = self.options.home.join("items").join(&item.id);
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("item.json");
        std::fs::write(&path, serde_json::to_vec(&item.fields)?)?;
        Ok(path)
    }

    fn collect(&mut self, item: Option<usize>, job: Option<&JobView>, file: &Path, event: Event) {
        let (Some(n), Some(job)) = (item, job) else { return };
        let id = event.item.clone().unwrap_or_default();
        if let (Some(results), Some(delivery)) = (&mut self.results, &job.delivery) {
            let line = Line {
                v: 1,
                id: &id,
                job: job.id,
                worker: job.peer,
                price_msat: job.price,
                fee_msat: delivery.fee,
                file: PathBuf::new(),
                digest: delivery.digest,
            };
            if let Err(why) = results.add(line, file) {
                let why = format!("the result is paid and cannot be put away: {why}");
                return self.once(Event { what: "cannot-collect", why, ..event });
            }
        }
        if let Some(asker) = &mut self.asker {
            asker.finish(n);
        }
        self.say(event);
    }

    fn begin_work(&mut self, job: &JobView) {
        let Some(worker) = &mut self.worker else { return };
        let attempt = worker.tried(job.id);
        let policy = worker.policy();
        let program = Program {
            words: policy.command.clone(),
            beside: self.policy.beside.clone(),
            limits: policy.limits,
        };
        let folder = self.options.home.join("work").join(job.id.short());
        let (handle, job, stdin) = (self.handle.clone(), job.clone(), policy.stdin);
        self.running.insert(job.id);
        self.tasks.spawn(async move {
            let id = job.id;
            match Scratch::fresh(&folder) {
                Ok(scratch) => {
                    let done = work(&handle, &job, &program, &scratch, stdin, attempt).await;
                    Finished::Work(id, done, Some(scratch))
                }
                Err(why) => Finished::Work(id, Err(format!("{}: {why}", folder.display())), None),
            }
        });
    }

    fn verify(&mut self, job: &JobView, file: PathBuf) {
        let Some(Accept::Command(words, limits)) =
            self.asker.as_ref().map(|asker| asker.policy().accept.clone())
        else {
            return;
        };
        if !self.running.insert(job.id) {
            return;
        }
        let folder = self.options.home.join("verify").join(job.id.short());
        let (beside, job) = (self.policy.beside.clone(), job.clone());
        self.tasks.spawn(async move {
            let (said, why) = look_at(words, limits, beside, &folder, &file).await;
            Finished::Verified(Box::new(job), said, why)
        });
    }

    /// A program has ended.
    pub(super) fn finished(&mut self, done: Finished) {
        match done {
            Finished::Verified(job, said, why) => {
                self.running.remove(&job.id);
                if let Some(asker) = &mut self.asker {
                    asker.verified(&job, said);
                }
                self.say(Event::new("verified", why).log(job.id));
            }
            Finished::Work(id, made, scratch) => {
                self.running.remove(&id);
                match (made, scratch, &mut self.worker) {
                    // It is kept until it is handed over: work that is done is not done again.
                    (Ok(file), Some(scratch), Some(worker)) => {
                        worker.made(id, file);
                        self.made.insert(id, scratch);
                    }
                    (made, scratch, _) => {
                        let why = made.err().unwrap_or_default();
                        let why = format!("{why}. Nothing was handed over.");
                        self.say(Event::new("work-failed", why).log(id));
                        if let Some(scratch) = scratch {
                            scratch.remove();
                        }
                    }
                }
            }
        }
    }
}

/// Does the work for one job; the file that is handed over.
async fn work(
    handle: &Handle,
    job: &JobView,
    program: &Program,
    scratch: &Scratch,
    stdin: Stdin,
    attempt: u32,
) -> Result<PathBuf, String> {
    let gig = handle.gig(job.gig).await.map_err(|why| why.to_string())?;
    let most = gig.as_ref().map_or(u64::MAX, |gig| gig.max_bytes);
    let mut inputs = Vec::new();
    for material in job.materials.iter().filter(|m| m.from == Role::Requester) {
        let Some(path) = &material.path else { continue };
        let name = material.name.as_str().to_owned();
        let given = scratch.give(path, &name).map_err(|why| format!("{name}: {why}"))?;
        let name = given.file_name().unwrap_or_default().to_string_lossy().into_owned();
        inputs.push((name, material.size));
    }
    let first = inputs.first().map(|(name, _)| scratch.path().join("in").join(name));
    let feed = match (stdin, first) {
        (Stdin::Input, Some(path)) => Job::File(path),
        (Stdin::Input, None) => return Err("the job has no input file to read".into()),
        (Stdin::Job, _) => Job::Json(as_json(job, gig.as_ref(), &inputs, attempt)),
    };
    if let Some(why) = run_command(program, scratch, feed).await.failure() {
        return Err(why);
    }
    // Where the terms cut by files, all that is there is handed over, as a folder; the engine looks at it.
    if job.by_files
        && let Some(folder) = scratch.output_folder()?
    {
        return Ok(folder);
    }
    if let Some(file) = scratch.output(most)? {
        return Ok(file);
    }
    let said = scratch.path().join("stdout");
    let size = std::fs::symlink_metadata(&said).map(|about| about.len()).unwrap_or(0);
    match size {
        0 => Err("the command left nothing in out/ and wrote nothing".into()),
        size if size > most => {
            Err(format!("the command wrote {size} bytes; the terms allow {most}"))
        }
        _ => Ok(said),
    }
}

/// What a person's command says of a delivery that can be read.
async fn look_at(
    words: Vec<String>,
    limits: Limits,
    beside: PathBuf,
    folder: &Path,
    file: &Path,
) -> (Verdict, String) {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ready =
        Scratch::fresh(folder).and_then(|scratch| Ok((scratch.give(file, &name)?, scratch)));
    let (given, scratch) = match ready {
        Ok((given, scratch)) => (given, scratch),
        Err(why) => return (Verdict::Unsure, format!("{}: {why}", folder.display())),
    };
    let mut words = words;
    words.push(given.display().to_string());
    let program = Program { words, beside, limits };
    let ended = run_command(&program, &scratch, Job::Json(json!({"file": given}))).await;
    scratch.remove();
    match ended {
        crate::bot::Ended::Status(0, _) => {
            (Verdict::Pass, "the verifying command ended with 0".into())
        }
        crate::bot::Ended::Status(1, _) => {
            (Verdict::Fail, "the verifying command ended with 1".into())
        }
        other => (Verdict::Unsure, other.failure().unwrap_or_default()),
    }
}

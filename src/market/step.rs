//! `step`: the only place where anything is decided. Pure.

mod done;
mod escrow;
mod heard;
mod judge;
mod reputation;
mod review;

use crate::market::{
    Address, Ask, Attachment, AwardParts, Body, Delivery, Digest, Effect, EventId, Fact, Input,
    Job, Mode, Msat, Nonce, Phase, Purpose, Refusal, Verb, World, may,
};
use crate::text::Raw;

/// One thing to say to the other side. Signing it makes it a fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Say {
    /// In the job's channel.
    Post(Box<Body>),
    /// In the job's channel: reveal the audit seed, which only the scribe can draw.
    Audit {
        /// Of this delivery.
        manifest: EventId,
        /// What s_R is derived from.
        nonce: Nonce,
    },
    /// In an escrow's channel: accept, with the secret that only the scribe can draw.
    Release {
        /// What is accepted.
        manifest: EventId,
        /// What x is derived from.
        nonce: Nonce,
    },
    /// As a first contact to the judge: the case, with the secret that only the scribe can draw.
    Appoint {
        /// What x is derived from.
        nonce: Nonce,
    },
    /// To the judge.
    Plead(Box<Body>),
    /// To the judge: what was just signed, so that its hour is known whatever the other side says.
    Lodge,
    /// To the judge: we do not agree. The scribe adds S_t.
    Dispute {
        /// The `deliver` record that it is about.
        manifest: Option<EventId>,
        /// The number of that delivery.
        delivery: u32,
        /// For a person.
        reason: Raw,
    },
    /// As a first contact to the bidder.
    Award(Box<AwardParts>),
    /// As a first contact to the bidder, by a key that stands for nothing.
    Decline {
        /// For a person.
        reason: String,
        /// For that key.
        nonce: Nonce,
    },
    /// As a first contact to the listing's inbox.
    Withdraw {
        /// For a person.
        reason: String,
    },
}

/// What one input leads to: facts first, then what is said (each becomes a fact when it is signed),
/// then effects. Committed as one.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Step {
    /// What is so from now on.
    pub facts: Vec<Fact>,
    /// What is said to the other side, in this order.
    pub says: Vec<Say>,
    /// What was said before and is said again, byte for byte.
    pub repeats: usize,
    /// What the judge has not answered is said to it again, byte for byte.
    pub pleads: bool,
    /// What is done.
    pub effects: Vec<Effect>,
}

impl Step {
    fn fact(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }
    fn say(mut self, body: Body) -> Self {
        self.says.push(Say::Post(Box::new(body)));
        self
    }
    fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }
    /// This step, and then the other.
    fn and(mut self, other: Self) -> Self {
        self.facts.extend(other.facts);
        self.says.extend(other.says);
        self.effects.extend(other.effects);
        self.repeats += other.repeats;
        self.pleads |= other.pleads;
        self
    }
    /// Whether nothing happens.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
            && self.says.is_empty()
            && self.repeats == 0
            && !self.pleads
            && self.effects.is_empty()
    }
}

/// Decides what one input leads to. An input that a job has had before, or that comes out of order,
/// leads to nothing or is refused; it never changes what stands.
pub fn step(job: &Job, input: &Input, world: &World) -> Result<Step, Refusal> {
    decided(job, input, world)
        .map(|step| reputation::attested(job, step, world.now))
        .map(|step| judge::witnessed(job, step))
}

fn decided(job: &Job, input: &Input, world: &World) -> Result<Step, Refusal> {
    match input {
        Input::Ask(ask) => asked(job, ask, world),
        Input::Heard { record, certificate, invoice } => {
            heard::heard(job, record, certificate.as_deref(), invoice.as_deref(), world)
        }
        Input::Judged { record, certificate, inner } => {
            judge::heard(job, record, certificate.as_deref(), inner.as_deref(), world)
        }
        Input::Done { effect, outcome } => done::done(job, effect, outcome, world),
        Input::Node(event) => done::node(job, event),
        Input::Height(height) if job.escrow.is_some() => Ok(escrow::height(job, *height, world)),
        Input::Height(height) => Ok(done::height(job, *height)),
        Input::Tick => Ok(tick(job, world)),
    }
}

/// The longest text of a person's that goes into a record, in bytes.
pub const LONGEST_TEXT: usize = 4000;
/// The longest reason: no reader takes a longer one.
pub const LONGEST_REASON: usize = 2000;

fn words(text: &str) -> Result<Raw, Refusal> {
    no_longer(text, LONGEST_TEXT)
}

fn why(reason: &str) -> Result<Raw, Refusal> {
    no_longer(reason, LONGEST_REASON)
}

fn no_longer(text: &str, most: usize) -> Result<Raw, Refusal> {
    if text.len() > most {
        let sentence = format!("The text is over {most} bytes. Nothing was sent.");
        return Err(Refusal::new("text-too-long", sentence));
    }
    Ok(Raw(text.to_owned()))
}

/// The longest file name that a reader takes.
const LONGEST_NAME: usize = 255;

fn short(name: &str) -> String {
    let cut = (0..=LONGEST_NAME.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
    name[..cut.unwrap_or(0)].to_owned()
}

fn asked(job: &Job, ask: &Ask, world: &World) -> Result<Step, Refusal> {
    let step = Step::default();
    let can = |verb| may(job, verb, world.now);
    match ask {
        Ask::Award(award) => {
            can(Verb::Award)?;
            if world.slots_left == 0 {
                let sentence = "Every slot of this gig is awarded already.";
                return Err(Refusal::new("gig-full", sentence)
                    .next("Cancel a job of it first, or post another gig."));
            }
            world.limits.lets_pay(job.agreed(), &world.open)?;
            escrow::awards(job, award)?;
            Ok(Step { says: vec![Say::Award(award.clone())], ..step })
        }
        Ask::Decline { reason, nonce } => {
            can(Verb::Decline)?;
            why(reason)?;
            let say = Say::Decline { reason: reason.clone(), nonce: *nonce };
            Ok(Step { says: vec![say], ..step })
        }
        Ask::Withdraw { reason } => {
            can(Verb::Withdraw)?;
            why(reason)?;
            Ok(Step { says: vec![Say::Withdraw { reason: reason.clone() }], ..step })
        }
        Ask::Deliver { source, size, name, message, nonce } => {
            can(Verb::Deliver)?;
            words(message)?;
            judge::deliverable(job, message)?;
            if *size > job.terms().max_bytes {
                let most = job.terms().max_bytes;
                let sentence =
                    format!("The file has {size} bytes; the terms allow {most}. Nothing was sent.");
                return Err(Refusal::new("too-large", sentence));
            }
            if *size == 0 {
                let sentence = "The file is empty. Nothing was sent.";
                return Err(Refusal::new("empty", sentence));
            }
            let number = job.deliveries;
            Ok(step
                .fact(Fact::Sealing {
                    number,
                    nonce: *nonce,
                    source: source.clone(),
                    name: short(name),
                    message: message.clone(),
                })
                .effect(Effect::Seal { number, source: source.clone() }))
        }
        Ask::Fund { max_fee, nonce, hash, judge: listing } => {
            can(Verb::Fund)?;
            let door = judge::door(job, listing.as_deref(), world)?;
            escrow::fund(job, *max_fee, door, (nonce, hash), world)
        }
        Ask::Dispute { reason } => {
            can(Verb::Dispute)?;
            judge::called(job, why(reason)?, world)
        }
        Ask::Object { reason } => {
            can(Verb::Object)?;
            judge::objected(job, why(reason)?, world)
        }
        Ask::Accept { .. } if job.escrow.is_some() => {
            can(Verb::Accept)?;
            escrow::release(job)
        }
        Ask::Accept { max_fee } => {
            can(Verb::Accept)?;
            accept(job, *max_fee, world)
        }
        Ask::Audit => review::ask_again(job, world),
        Ask::Reject { reason } => {
            can(Verb::Reject)?;
            judge::may_reject(job, world)?;
            let Some(record) = job.attempt.as_ref().and_then(|w| w.record.as_ref()) else {
                return Err(Refusal::new("wrong-phase", "There is no delivery to reject."));
            };
            Ok(step.say(Body::Reject { manifest: record.id, reason: why(reason)?, next: None }))
        }
        Ask::Cancel { reason } => {
            can(Verb::Cancel)?;
            let step = escrow::cancelled(job, step);
            Ok(step.say(Body::Cancel { reason: why(reason)? }))
        }
        Ask::Note { text } => {
            can(Verb::Note)?;
            Ok(step.say(Body::Note { text: words(text)? }))
        }
        Ask::Rate { stars, comment } => {
            can(Verb::Rate)?;
            if !(1..=5).contains(stars) {
                return Err(Refusal::new("bad-rating", "A rating is from 1 to 5."));
            }
            Ok(step.say(Body::Rate { stars: *stars, comment: words(comment)? }))
        }
        Ask::Approve => {
            can(Verb::Approve)?;
            Ok(step.fact(Fact::Approved))
        }
    }
}

fn accept(job: &Job, max_fee: Msat, world: &World) -> Result<Step, Refusal> {
    let work = job.attempt.as_ref();
    let Some((work, record)) = work.and_then(|w| Some((w, w.record.as_ref()?))) else {
        return Err(Refusal::new("wrong-phase", "There is nothing to pay for."));
    };
    let tranche = work.next_unpaid();
    let Some(amount) = job.terms().price.tranche(tranche, job.terms().tranches) else {
        return Err(Refusal::new("paid", "Everything is paid already."));
    };
    unproven(job, world)?;
    affordable(amount, world)?;
    Ok(Step::default()
        .fact(Fact::Accepting { max_fee })
        .say(Body::Ready { manifest: record.id, tranche }))
}

/// Money for what nobody has seen goes to no one against whom something is proven. Work that lies open is owed,
/// whoever did it: it is paid, and in escrow released.
fn unproven(job: &Job, world: &World) -> Result<(), Refusal> {
    match job.terms().mode {
        Mode::Sealed => world.limits.lets_go_on("Nothing was paid."),
        Mode::Escrow => world.limits.lets_go_on("No money was locked."),
        Mode::Direct => Ok(()),
    }
}

fn affordable(amount: Msat, world: &World) -> Result<(), Refusal> {
    if world.spendable >= amount {
        return Ok(());
    }
    let have = world.spendable;
    let sentence = format!(
        "This needs {amount} over Lightning; the node can send {have} now. Nothing left your wallet."
    );
    Err(Refusal::new("insufficient-funds", sentence)
        .next("Open a channel or wait for a pending one, then accept again."))
}

/// What fetches a delivery: the vector file, then the ciphertext.
fn halves(delivery: &Delivery, from: &Address) -> [Effect; 2] {
    let m = &delivery.manifest;
    let fetch = |hash: &[u8; 32], size, purpose| Effect::Fetch {
        file: Attachment { blob: Digest(*hash), size, name: Raw::default() },
        from: from.clone(),
        purpose,
    };
    [
        fetch(m.vector.as_bytes(), delivery.vector_size, Purpose::Vector),
        fetch(m.blob.as_bytes(), m.blob_len, Purpose::Blob),
    ]
}

fn tick(job: &Job, world: &World) -> Step {
    let mut step = Step::default();
    if let Some((at, what)) = job.deadline()
        && world.now >= at
    {
        let step = step.fact(Fact::Lapsed { what: what.into() });
        // Between two milestones the other side may have gone on to the next: it is not left to work for nobody.
        return match job.phase {
            Phase::Reached => step.say(Body::Cancel { reason: Raw(what.into()) }),
            _ => step,
        };
    }
    if job.resend_at().is_some_and(|at| world.now >= at) {
        step.repeats = job.unacknowledged.len();
        step = step.fact(Fact::Resent);
    }
    if job.resend_to_judge_at().is_some_and(|at| world.now >= at) {
        step.pleads = true;
        step = step.fact(Fact::ResentToJudge);
    }
    step
}

//! From a verb to a command: the question or the form in between.

use crate::engine::{Command, JobView, Snapshot};
use crate::market::{BidId, Mode, Msat, Verb};
use crate::tui::part::confirm::Confirm;
use crate::tui::part::form::{Form, Purpose};
use crate::tui::screen::{gigs, people};
use crate::tui::theme::Role;
use crate::tui::{Layer, Model, Then};
use crate::verify::Choices;

/// Begins a verb of the selected job. Whether it may be done was asked before, and is asked again by the
/// market.
pub(in crate::tui) fn begin(model: &mut Model, snapshot: &Snapshot, verb: Verb) {
    let Some(job) = super::chosen(model, snapshot) else { return };
    let layer = match verb {
        Verb::Award => award(model, snapshot, job),
        Verb::Accept if job.escrow.is_some() => release(model, snapshot, job),
        Verb::Accept => accept(model, snapshot, job),
        Verb::Fund => fund(model, snapshot, job),
        Verb::Approve => approve(model, snapshot, job),
        _ => Layer::Form(Box::new(form(job, verb))),
    };
    model.layers.push(layer);
}

fn award(model: &Model, snapshot: &Snapshot, job: &JobView) -> Layer {
    let spendable = snapshot.node.as_ref().map_or(Msat::ZERO, |n| n.balances.lightning_spendable);
    let free = spendable.saturating_sub(snapshot.reserved);
    let mut confirm = Confirm::new("Award this job?", "award", job.title.clone(), model.at.ms)
        .with(people::shown(&job.peer, snapshot))
        // Nothing moves yet, so nothing is typed: the price is only promised.
        .amount("you promise", job.price, Msat::MAX)
        .row("settled", gigs::mode_words(job.mode))
        .row("you can send", format!("{free} that are not promised to others"))
        .risk("If they do not deliver in time, the job ends and nothing is paid.");
    if free < job.price {
        confirm = confirm.risk(format!(
            "You cannot pay it now: {} are missing.",
            job.price.saturating_sub(free)
        ));
    }
    let confirm = confirm
        .last("An award is signed and cannot be taken back, only cancelled. No money moves now.");
    let then = Then::Ask(
        Box::new(Command::Award { job: job.id }),
        "The award is signed and on its way.".into(),
    );
    Layer::Confirm(Box::new(confirm), Box::new(then))
}

fn accept(model: &Model, snapshot: &Snapshot, job: &JobView) -> Layer {
    let parts = u64::from(job.tranches.max(1));
    let largest =
        job.price.tranche(job.tranches.max(1) - 1, job.tranches.max(1)).unwrap_or(job.price);
    let max_fee = model.settings.fee_cap(largest);
    let fees = Msat::new(max_fee.get().saturating_mul(parts)).unwrap_or(Msat::MAX);
    let all = job.price.checked_add(fees).unwrap_or(Msat::MAX);
    let mut confirm = Confirm::new("Pay for this delivery?", "pay", job.title.clone(), model.at.ms)
        .with(people::shown(&job.peer, snapshot))
        .amount("you pay", job.price, model.settings.type_above)
        .row("routing fee", format!("at most {fees}"))
        .row("all in all", format!("at most {all}"));
    if job.tranches > 1 {
        confirm = confirm.row(
            "in parts",
            format!("{} of about {largest}; each opens before the next is paid", job.tranches),
        );
    }
    let risk = match job.mode {
        Mode::Sealed => {
            "If the key does not open what was signed, you get a proof of fraud, not the money."
        }
        Mode::Direct | Mode::Escrow => "You have the work already: paying is on your word alone.",
    };
    let confirm = confirm.risk(risk).last("A Lightning payment cannot be undone.");
    let then = Then::Ask(
        Box::new(Command::Accept { job: job.id, max_fee }),
        "Accepted: the worker's bill is awaited, then it is paid.".into(),
    );
    Layer::Confirm(Box::new(confirm), Box::new(then))
}

/// A bot or an agent wants to do what is above its own limit.
fn approve(model: &Model, snapshot: &Snapshot, job: &JobView) -> Layer {
    let mut confirm = Confirm::new("Let the bot do it?", "allow", job.title.clone(), model.at.ms)
        .with(people::shown(&job.peer, snapshot))
        .amount("it may promise", job.price, model.settings.type_above)
        .row("settled", gigs::mode_words(job.mode));
    if let Some((by, verb)) = &job.asked {
        confirm = confirm.row("who asks", by.to_string()).row("to do", verb.word().to_owned());
    }
    let confirm = confirm
        .risk("It decides by its policy alone whether to award and to pay.")
        .last("Its other limits still hold. This cannot be taken back, only cancelled.");
    let then = Then::Ask(
        Box::new(Command::Approve { job: job.id }),
        "Allowed: it goes on when it asks again.".into(),
    );
    Layer::Confirm(Box::new(confirm), Box::new(then))
}

/// In escrow: the money leaves us for the worker's node, which holds it.
fn fund(model: &Model, snapshot: &Snapshot, job: &JobView) -> Layer {
    let max_fee = model.settings.fee_cap(job.price);
    let mut confirm = Confirm::new("Lock the money?", "lock", job.title.clone(), model.at.ms)
        .with(people::shown(&job.peer, snapshot))
        .amount("you lock", job.price, model.settings.type_above)
        .row("routing fee", format!("at most {max_fee}"));
    if let Some(escrow) = &job.escrow {
        let height = snapshot.node.as_ref().map_or(0, |node| node.height);
        confirm = confirm.row("back by", escrow.back_by(height)).risk(escrow.risk.to_string());
    }
    let confirm = confirm
        .last("The worker cannot take it before you accept; until then it is not yours either.");
    let then = Then::Ask(
        Box::new(Command::Fund { job: job.id, max_fee }),
        "The money is being locked; the worker begins when its node has it.".into(),
    );
    Layer::Confirm(Box::new(confirm), Box::new(then))
}

/// In escrow: the secret that lets the worker's node take what it holds.
fn release(model: &Model, snapshot: &Snapshot, job: &JobView) -> Layer {
    let confirm = Confirm::new("Release the money?", "release", job.title.clone(), model.at.ms)
        .with(people::shown(&job.peer, snapshot))
        .amount("you release", job.price, model.settings.type_above)
        .risk("You have the work already; the worker's node takes the money as soon as it hears.")
        .last("What is released cannot be taken back.");
    let then = Then::Ask(
        Box::new(Command::Accept { job: job.id, max_fee: Msat::ZERO }),
        "Released: the worker's node claims it.".into(),
    );
    Layer::Confirm(Box::new(confirm), Box::new(then))
}

fn form(job: &JobView, verb: Verb) -> Form {
    let id: BidId = job.id;
    match verb {
        Verb::Decline => Form::new(Purpose::Decline(id), "Decline this bid", "Decline")
            .intro("The worker hears of it. An award can still be given later.", Role::Muted)
            .field("reason", "for the worker; may be empty", ""),
        Verb::Withdraw => Form::new(Purpose::Withdraw(id), "Take this bid back", "Withdraw")
            .intro("It cannot be given again; you can bid anew.", Role::Warn)
            .field("reason", "for the requester; may be empty", ""),
        Verb::Deliver if !job.answers.is_empty() => answer(job),
        Verb::Deliver => Form::new(Purpose::Deliver(id), "Deliver the work", hand_over(job.mode))
            .intro(who_reads(job), Role::Muted)
            .intro("What you sign here is what you are held to.", Role::Warn)
            .field(if job.by_files { "folder" } else { "file" }, "where it lies", "")
            .text("message", "for the requester, private"),
        Verb::Reject => Form::new(Purpose::Reject(id), "Send this delivery back", "Reject")
            .intro("Nothing is paid. The worker may deliver again until the deadline.", Role::Muted)
            .text("reason", "what is missing"),
        Verb::Dispute => Form::new(Purpose::Dispute(id), "Call the judge", "Call")
            .intro("It is shown what you both signed, and the work. Its word ends it.", Role::Warn)
            .text("reason", "for the judge and the other side"),
        Verb::Object => Form::new(Purpose::Object(id), "Answer to the judge", "Answer")
            .intro("Once. The judge rules after it.", Role::Warn)
            .text("reason", "for the judge and the other side"),
        Verb::Cancel => Form::new(Purpose::Cancel(id), "Stop this job", "Cancel the job")
            .intro("Nothing is paid for it any more, and it cannot be taken up again.", Role::Warn)
            .field("reason", "for the other side; may be empty", ""),
        Verb::Rate => Form::new(Purpose::Rate(id), "Rate the other side", "Sign the rating")
            .field("stars", "1 to 5", "5")
            .field("comment", "for everybody, signed by you; may be empty", ""),
        Verb::Note | Verb::Award | Verb::Fund | Verb::Accept | Verb::Approve => {
            Form::new(Purpose::Note(id), "Write a note", "Send")
                .text("note", "private, signed by you")
        }
    }
}

/// The word on the button that delivers.
fn hand_over(mode: Mode) -> &'static str {
    match mode {
        Mode::Sealed => "Seal and deliver",
        Mode::Direct | Mode::Escrow => "Deliver",
    }
}

/// Who can read what is delivered, and when it is paid.
fn who_reads(job: &JobView) -> String {
    let price = job.price;
    match job.mode {
        Mode::Sealed => format!("It is sealed first: nobody can open it before {price} are paid."),
        Mode::Direct => {
            format!(
                "The requester can read it at once, before {price} are paid, and is trusted to pay."
            )
        }
        Mode::Escrow => {
            format!("The requester can read it at once: {price} are locked for you already.")
        }
    }
}

/// A question with answers to choose from needs no file: the answer is the delivery.
fn answer(job: &JobView) -> Form {
    let button = hand_over(job.mode);
    let mut form = Form::new(Purpose::Answer(job.id), "Answer the question", button)
        .intro(job.title.or("(no title)"), Role::Text);
    for (n, answer) in job.answers.iter().enumerate() {
        form = form.intro(format!("{}  {answer}", n + 1), Role::Text);
    }
    form.intro("What you sign here is what you are held to.", Role::Warn)
        .field("answer", "the number of the one that you choose", "")
        .text("why", "for the requester, part of the answer; may be empty")
}

/// The document that answers.
pub(in crate::tui) fn answered(
    snapshot: &Snapshot,
    job: BidId,
    form: &Form,
) -> Result<String, String> {
    let Some(job) = snapshot.jobs.get(&job) else { return Err("The job is gone.".into()) };
    let answers = job.answers.iter().map(|answer| answer.as_str().to_owned()).collect();
    let choices = Choices::new(answers).ok_or("The answers cannot be shown: deliver a file.")?;
    let most = choices.answers().len();
    let number = form.value(0).parse().ok().filter(|n| (1..=most).contains(n));
    let number: usize = number.ok_or_else(|| format!("Type a number from 1 to {most}."))?;
    choices.document(number - 1, &form.value(1)).ok_or_else(|| "There is no such answer.".into())
}

/// The command that a form was filled in for, and what to say when it is done.
pub(in crate::tui) fn submit(form: &Form) -> Result<(Command, String), String> {
    let reason = form.value(0);
    Ok(match form.purpose {
        Purpose::Decline(job) => (Command::Decline { job, reason }, "The bid is declined.".into()),
        Purpose::Withdraw(job) => {
            (Command::Withdraw { job, reason }, "The bid is withdrawn.".into())
        }
        Purpose::Deliver(job) => {
            if reason.is_empty() {
                return Err("The file is missing: type where it lies.".into());
            }
            let message = form.value(1);
            let file = reason.into();
            (
                Command::Deliver { job, file, message },
                "The file is copied and is being sealed.".into(),
            )
        }
        Purpose::Reject(job) => {
            if reason.is_empty() {
                return Err("Say what is missing, so that the worker can mend it.".into());
            }
            (Command::Reject { job, reason }, "The delivery is rejected. Nothing was paid.".into())
        }
        Purpose::Dispute(job) => (
            Command::Dispute { job, reason },
            "The judge is called; the money stays locked.".into(),
        ),
        Purpose::Object(job) => {
            if reason.is_empty() {
                return Err("Say what is not so.".into());
            }
            (Command::Object { job, reason }, "The judge is given your answer.".into())
        }
        Purpose::Cancel(job) => (Command::Cancel { job, reason }, "The job is cancelled.".into()),
        Purpose::Note(job) => {
            if reason.is_empty() {
                return Err("The note is empty.".into());
            }
            (Command::Note { job, text: reason }, "The note is on its way.".into())
        }
        Purpose::Rate(job) => {
            let stars = reason.parse().ok().filter(|stars| (1..=5).contains(stars));
            let stars: u8 = stars.ok_or("Stars are a number from 1 to 5.")?;
            (Command::Rate { job, stars, comment: form.value(1) }, "The rating is signed.".into())
        }
        Purpose::Answer(_)
        | Purpose::Bid(_)
        | Purpose::Gig
        | Purpose::Receive
        | Purpose::Pay
        | Purpose::OpenChannel
        | Purpose::Rule(..)
        | Purpose::CaseNote(_) => {
            return Err("This form is not about a job.".into());
        }
    })
}

//! A policy in plain words: what will be done with whose money, before it is.

use std::time::Duration;

use crate::bot::{Accept, Choose, Policy, Price, Stdin, Tell};
use crate::market::{Budget, Mode, Msat, Span};

/// What a policy does under this budget, a sentence a line.
pub fn explain(policy: &Policy, budget: &Budget) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(asking) = &policy.requester {
        let draft = &asking.template.draft;
        let from = match &asking.queue {
            None => format!("It publishes \"{}\" once", draft.title),
            Some(path) if path.as_os_str() == "-" => {
                format!("For each line that comes on stdin it publishes \"{}\"", draft.title)
            }
            Some(path) => {
                format!("For each line of {} it publishes \"{}\"", path.display(), draft.title)
            }
        };
        out.push(format!("{from} for {}, unless the line names a price.", draft.price));
        if asking.attach {
            out.push("The line itself goes to whoever is awarded, as item.json.".into());
        }
        let wait = match asking.wait {
            wait if wait.is_zero() => "as soon as it comes".to_owned(),
            wait => format!("after waiting {} for others", length(wait)),
        };
        let whose = match asking.choose {
            Choose::First => "the first bid",
            Choose::Cheapest => "the cheapest bid",
            Choose::Trusted => "the bid of whoever has done most for you",
        };
        out.push(format!(
            "It awards {whose} {wait}, never above the price and never to anybody who was caught cheating you."
        ));
        out.push(format!(
            "At most {} gigs and jobs are open at once, {} of them with one worker, and one with whoever has done nothing for you yet.",
            asking.at_once, asking.per_worker
        ));
        out.push(match &asking.accept {
            Accept::Inspected => "It pays for whatever is what the worker signed, without looking whether it is good.".into(),
            Accept::Checks => "It pays when the checks of the gig do not speak against it. Work that fails them is sent back, or ends the job if it was paid for.".into(),
            Accept::Command(words, limits) => format!(
                "It reads each delivery with `{}` ({} at most) and pays when that ends with 0, sends it back at 1 and leaves it to you otherwise.",
                words.join(" "),
                length(limits.time)
            ),
        });
        if draft.modes.contains(&Mode::Sealed) {
            out.push("In mode sealed a cheat can take one tranche (the whole price where there is one) and is then convicted by its own signature.".into());
        }
        if draft.modes.contains(&Mode::Escrow) {
            out.push("In mode escrow the money is locked at the worker's node before the work, and released when the delivery passes.".into());
        }
        out.push(format!(
            "An item is published {} times before it is given up; a line that the engine refuses for good is given up at once.",
            asking.tries
        ));
        if draft.quality.audit > 0 {
            out.push("A worker who is asked to open a sample and does not is never paid for it: the delivery is sent back.".into());
        }
        if let Some(total) = asking.total {
            out.push(format!(
                "All that it ever does under this name costs at most {total}, routing included."
            ));
        }
    }
    if let Some(working) = &policy.worker {
        out.push(format!(
            "It looks for gigs that match `{}` every {} and bids {}.",
            working.line,
            length(working.look),
            match working.price {
                Price::Fixed(price) => price.to_string(),
                Price::Share(share) => format!("{share}% of what is offered"),
                Price::PerKib(each) => format!("{each} for each KiB of input"),
            }
        ));
        let reads = match working.stdin {
            Stdin::Job => "the job as JSON",
            Stdin::Input => "the first input file",
        };
        out.push(format!(
            "When it is awarded it runs `{}` in a folder of its own, with {reads} on stdin, for at most {}, {} MiB of memory and {} MiB of disk.",
            working.command.join(" "),
            length(working.limits.time),
            working.limits.memory >> 20,
            working.limits.disk >> 20,
        ));
        out.push("It hands over the one file that the command leaves in out/, or else what it wrote on stdout. The command is yours and runs as you.".into());
        out.push(format!("At most {} bids and jobs are open at once.", working.at_once));
    }
    for hook in &policy.hooks {
        let on = match hook.on.iter().any(|code| code == "*") {
            true => "anything worth telling".to_owned(),
            false => hook.on.join(", "),
        };
        let whom = match &hook.tell {
            Tell::Run(words) => format!("runs `{}`", words.join(" ")),
            Tell::Url(url) => format!("posts to {url}"),
        };
        out.push(format!(
            "On {on} it {whom}, at least once for each, for at most {}; what fails is told again until it ends well.",
            length(hook.time)
        ));
    }
    out.extend(bounds(budget));
    out
}

fn bounds(budget: &Budget) -> Vec<String> {
    let mut out = vec![format!(
        "Whatever it does, all bots and agents together stay below: {} a job, {} promised at once, {} an hour, {} a day, {} for one person in a day.",
        budget.per_job, budget.at_risk, budget.per_hour, budget.per_day, budget.per_person
    )];
    if budget.approve_above < budget.per_job {
        out.push(format!("Above {} it asks you first.", budget.approve_above));
    }
    let fee = budget.most_fee(Msat::sats(1_000).unwrap_or_default());
    out.push(format!("Routing 1,000 sat may cost it {fee}."));
    out.push("You stop it, and every other, with: earnest bot stop".into());
    out
}

fn length(span: Duration) -> String {
    match span.as_millis() {
        millis if millis % 1_000 != 0 => format!("{millis} ms"),
        _ => Span(span.as_secs()).to_string(),
    }
}

//! Posting a job: a gig from what an agent says, once for each key.

use std::path::PathBuf;

use serde_json::json;

use crate::engine::{Command, GigView, MOST_INPUT, pin};
use crate::market::{
    Attachment, Deadlines, Digest, EscrowTerms, GigDraft, Milestone, Mode, Msat, Pinned, Quality,
    Span, Time, Work,
};
use crate::mcp::ask::{Input, PostJob};
use crate::mcp::desk::{self, Desk, Done, No};
use crate::mcp::quote::amount;
use crate::mcp::view;
use crate::text::{Raw, file_name};
use crate::verify::{Choices, LONGEST_ANSWER, MOST_ANSWERS};

const MINUTE: u64 = 60;

impl Desk {
    /// Publishes a gig, once for each key.
    pub(super) async fn post_job(&self, ask: PostJob) -> Done {
        let (price, key) = (amount(ask.max_price_sats)?, ask.key.clone());
        if price > self.options.max_price {
            let said =
                format!("The price is above limits.max_price_sats: {}.", self.options.max_price);
            return Err(No::new("price-too-high", said));
        }
        let inputs = written(&ask.inputs)?;
        let draft = draft(ask, self.now().at)?;
        let files = inputs.files.iter().map(|(file, _)| file.clone()).collect();
        // What strangers would see; it also says whether it can be published at all.
        let seen = self.handle.preview(draft.clone(), files).await?;
        let listing = view::gig(&GigView::of(&seen), true, &self.options);
        if self.options.dry_run {
            let would = format!(
                "Publish this gig to everybody: {} for each of {} workers.",
                draft.price, draft.slots
            );
            let mut told = desk::dry(would);
            told["listing"] = listing;
            return Ok(told);
        }
        let paths = inputs.files.iter().map(|(_, path)| path.clone()).collect();
        let command = Command::Post { draft, inputs: paths, key: Some(key) };
        let gig = self.handle.ask(command).await?.log;
        drop(inputs);
        // The key may be an old one: then what stands is what was posted with it, and nothing new.
        let stands = self.handle.gig(gig).await?;
        if stands.is_some_and(|stands| !is_same(&stands, &GigView::of(&seen))) {
            let said = format!(
                "Another gig was posted with this key before: {}. Nothing was published.",
                gig.short()
            );
            return Err(No::new("key-reused", said).next("Take a new key"));
        }
        Ok(json!({
            "dry_run": false,
            "gig": gig,
            "resource": format!("{}{gig}", view::GIG),
            "listing": listing,
            "note": "Published. Bids come in by themselves: subscribe to the resource, or ask job_status.",
        }))
    }
}

/// Whether two gigs ask for the same; moments aside.
fn is_same(a: &GigView, b: &GigView) -> bool {
    let words = |gig: &GigView| {
        let GigView { title, summary, content, tags, .. } = gig.clone();
        (title, summary, content, tags)
    };
    a.asks == b.asks && words(a) == words(b)
}

/// The draft that was meant.
fn draft(ask: PostJob, now: Time) -> Result<GigDraft, No> {
    let minutes = |given: Option<u64>, or: u64| Span(given.unwrap_or(or).saturating_mul(MINUTE));
    let deadlines = Deadlines {
        deliver: minutes(ask.deliver_within_minutes, 3 * 24 * 60),
        pay: minutes(ask.pay_within_minutes, 24 * 60),
    };
    let milestones = parts(&ask, deadlines)?;
    let mut checks = Vec::new();
    let mut content = ask.instructions;
    if !ask.choices.is_empty() {
        let Some(choices) = Choices::new(ask.choices) else {
            let said = format!(
                "Choices are 2 to {MOST_ANSWERS} different texts of at most {LONGEST_ANSWER} bytes."
            );
            return Err(No::new("bad-choices", said));
        };
        content.push_str("\n\nChoose one answer:\n\n");
        for (n, answer) in choices.answers().iter().enumerate() {
            content.push_str(&format!("{}. {answer}\n", n + 1));
        }
        content.push_str(
            "\nThe delivery is one JSON object: {\"answer\": \"...\", \"why\": \"...\"}. The screen of earnest \
             asks for the number and writes it.\n",
        );
        let check = choices.check().map_err(|why| No::new("bad-choices", why.to_string()))?;
        checks.push(pinned(&check.to_json())?);
    }
    for check in ask.checks {
        checks.push(pinned(serde_json::Value::Object(check).to_string().as_bytes())?);
    }
    let modes = match ask.modes {
        modes if modes.is_empty() => vec![Mode::Sealed],
        modes => modes.into_iter().map(Mode::from).collect(),
    };
    let draft = GigDraft {
        milestones: Vec::new(),
        title: ask.title,
        summary: ask.summary.unwrap_or_default(),
        content,
        tags: ask.tags,
        work: Work::File,
        modes,
        slots: ask.workers.unwrap_or(1),
        price: amount(ask.max_price_sats)?,
        max_bytes: ask.max_bytes.unwrap_or(1 << 20),
        deadlines,
        escrow: None,
        quality: Quality { audit: ask.audit_records.unwrap_or(0), checks, cut: None },
        pow: 12,
        expires_at: now.after(minutes(ask.bids_within_minutes, 24 * 60)),
    };
    Ok(if milestones.is_empty() { draft } else { draft.in_milestones(milestones) })
}

/// The milestones that were meant. What stands for the whole gig elsewhere is each one's own here, and must not
/// be lost in silence.
fn parts(ask: &PostJob, usual: Deadlines) -> Result<Vec<Milestone>, No> {
    if ask.milestones.is_empty() {
        return Ok(Vec::new());
    }
    let bad =
        |said: String| Err(No::new("bad-milestones", format!("{said} Nothing was published.")));
    let whole = ask.choices.is_empty() && ask.checks.is_empty() && ask.modes.is_empty();
    if !whole || ask.audit_records.is_some() {
        return bad(
            "With milestones, choices, checks, audit_records and modes are left out: each has its own.".into(),
        );
    }
    let mut sum = Msat::ZERO;
    let mut parts = Vec::new();
    for part in &ask.milestones {
        let price = amount(part.price_sats)?;
        sum = sum.checked_add(price).unwrap_or(Msat::MAX);
        let mode = part.mode.map_or(Mode::Sealed, Mode::from);
        let minutes =
            |given: Option<u64>, or: Span| given.map_or(or, |n| Span(n.saturating_mul(MINUTE)));
        let checks = part
            .checks
            .iter()
            .map(|check| pinned(serde_json::Value::Object(check.clone()).to_string().as_bytes()));
        parts.push(Milestone {
            title: Raw(part.title.clone()),
            price,
            mode,
            deadlines: Deadlines {
                deliver: minutes(part.deliver_within_minutes, usual.deliver),
                pay: minutes(part.pay_within_minutes, usual.pay),
            },
            tranches: 1,
            quality: Quality {
                audit: part.audit_records.unwrap_or(0),
                checks: checks.collect::<Result<_, _>>()?,
                cut: None,
            },
            escrow: (mode == Mode::Escrow).then(EscrowTerms::default),
        });
    }
    let most = amount(ask.max_price_sats)?;
    if sum != most {
        return bad(format!("The milestones pay {sum} together, and max_price_sats is {most}."));
    }
    Ok(parts)
}

fn pinned(body: &[u8]) -> Result<Pinned, No> {
    let pinned = pin(body).map_err(|why| No::new("bad-check", format!("{why}.")))?;
    if pinned.body.is_none() {
        return Err(No::new("bad-check", "The check is too long to stand in a listing."));
    }
    Ok(pinned)
}

/// Inputs as files of our own, which go with it.
struct Written {
    files: Vec<(Attachment, PathBuf)>,
    _folder: Option<tempfile::TempDir>,
}

/// An agent gives texts, never paths: no file of this machine can be talked out of it.
fn written(inputs: &[Input]) -> Result<Written, No> {
    if inputs.is_empty() {
        return Ok(Written { files: Vec::new(), _folder: None });
    }
    let failed = |why: std::io::Error| {
        No::new(
            "io",
            format!("The inputs cannot be written: {}. Nothing was published.", why.kind()),
        )
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    let mut files = Vec::new();
    for (n, input) in inputs.iter().enumerate() {
        let size = input.text.len() as u64;
        if size == 0 || size > MOST_INPUT {
            return Err(No::new("bad-input", "An input is empty or too large."));
        }
        let name = file_name(&Raw::from(input.name.as_str())).to_string();
        let beside = folder.path().join(n.to_string());
        std::fs::create_dir(&beside).map_err(failed)?;
        let path = beside.join(&name);
        std::fs::write(&path, &input.text).map_err(failed)?;
        let blob = Digest(*blake3::hash(input.text.as_bytes()).as_bytes());
        files.push((Attachment { blob, size, name: Raw(name) }, path));
    }
    Ok(Written { files, _folder: Some(folder) })
}

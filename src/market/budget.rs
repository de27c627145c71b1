//! Budgets: what automated actors may spend, whatever a policy, a hook or a model asks. A person's own
//! commands are not bound by them.
//!
//! A budget is checked when money is promised (an award) and again whenever it is to move; what was spent
//! is read from the facts of the jobs, so a restart forgets nothing. A promise counts in full, fees
//! included, until its job is over. So what is paid later was room in the budget when it was promised.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::market::{
    Ask, BidId, Fact, GigDraft, Job, Mode, Msat, Pubkey, Refusal, Role, Span, Terms, Time, Verb,
};

/// An automated actor: a bot or an agent, by name. Where there is none, a person asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Actor {
    /// A program that follows a policy.
    Bot(String),
    /// A model, through MCP.
    Agent(String),
}

/// Why a text names no actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an actor is bot:NAME or agent:NAME; a name has 1 to 32 characters of a-z, 0-9, `.`, `_` and `-`"
)]
pub struct NotAnActor;

impl Actor {
    /// A bot of this name.
    ///
    /// # Errors
    /// The name is not 1 to 32 of `a-z0-9._-`.
    pub fn bot(name: &str) -> Result<Self, NotAnActor> {
        is_name(name).then(|| Self::Bot(name.to_owned())).ok_or(NotAnActor)
    }
    /// An agent of this name.
    ///
    /// # Errors
    /// As for [`Actor::bot`].
    pub fn agent(name: &str) -> Result<Self, NotAnActor> {
        is_name(name).then(|| Self::Agent(name.to_owned())).ok_or(NotAnActor)
    }
}

fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    (1..=32).contains(&name.len()) && name.bytes().all(fits)
}

impl schemars::JsonSchema for Actor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Actor".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "pattern": "^(bot|agent):[a-z0-9._-]{1,32}$",
        })
    }
}

impl FromStr for Actor {
    type Err = NotAnActor;
    fn from_str(text: &str) -> Result<Self, NotAnActor> {
        match text.split_once(':') {
            Some(("bot", name)) => Self::bot(name),
            Some(("agent", name)) => Self::agent(name),
            _ => Err(NotAnActor),
        }
    }
}
impl TryFrom<String> for Actor {
    type Error = NotAnActor;
    fn try_from(text: String) -> Result<Self, NotAnActor> {
        text.parse()
    }
}
impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bot(name) => write!(f, "bot:{name}"),
            Self::Agent(name) => write!(f, "agent:{name}"),
        }
    }
}

/// The limits of all automation of one earnest together. Amounts but `per_job` and `approve_above` count
/// fees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Budget {
    /// The highest price of one job.
    pub per_job: Msat,
    /// Promised to and paid to one person: open promises, and what was paid in the last day.
    pub per_person: Msat,
    /// Open promises, and what was paid in the last hour.
    pub per_hour: Msat,
    /// Open promises, and what was paid in the last day.
    pub per_day: Msat,
    /// Open promises: all that could still be lost if everything went wrong.
    pub at_risk: Msat,
    /// The most for routing one payment, in millionths of it ...
    pub fee_ppm: u32,
    /// ... and on top of that.
    pub fee_base: Msat,
    /// Settlement modes that automation may use.
    pub modes: Vec<Mode>,
    /// Kinds of checks that automation may rely on, any where none is named; and `required` where a delivery
    /// must be held against one. Of [`CHECK_WORDS`].
    #[serde(default)]
    pub checks: Vec<String>,
    /// A job with a higher price needs a person's word.
    pub approve_above: Msat,
}

/// That a delivery must be held against a check.
const REQUIRED: &str = "required";
/// What [`Budget::checks`] may name: that there is a check at all, and the kinds of them.
pub const CHECK_WORDS: [&str; 5] = [REQUIRED, "hash", "schema", "rules", "wasm"];

/// Gigs of automation that may be open at once: no policy needs more, and a runaway is stopped there.
pub const MOST_GIGS: usize = 1_000;
/// The longest key that makes a post one post.
pub const LONGEST_KEY: usize = 200;
/// The longest reason for pulling the switch.
pub const LONGEST_HALT: usize = 200;

const fn sat(sats: u64) -> Msat {
    match Msat::sats(sats) {
        Some(amount) => amount,
        None => Msat::ZERO,
    }
}

impl Default for Budget {
    /// Pocket money: enough to try things, not enough to regret them.
    fn default() -> Self {
        Self {
            per_job: sat(5_000),
            per_person: sat(20_000),
            per_hour: sat(20_000),
            per_day: sat(50_000),
            at_risk: sat(20_000),
            fee_ppm: 10_000,
            fee_base: sat(10),
            modes: vec![Mode::Sealed, Mode::Direct, Mode::Escrow],
            checks: Vec::new(),
            approve_above: sat(5_000),
        }
    }
}

impl Budget {
    /// The most for routing one payment of this amount.
    pub fn most_fee(&self, amount: Msat) -> Msat {
        let ppm = amount.ppm(u64::from(self.fee_ppm));
        ppm.checked_add(self.fee_base).unwrap_or(Msat::MAX)
    }

    /// The first limit that contradicts another: its name, and why no job could ever pass.
    ///
    /// # Errors
    /// A name of a field, and a sentence.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let whole = plus(self.per_job, self.most_fee(self.per_job));
        let rooms = [
            ("per_person", self.per_person),
            ("per_hour", self.per_hour),
            ("per_day", self.per_day),
            ("at_risk", self.at_risk),
        ];
        for (name, room) in rooms {
            if room < whole {
                let why = format!(
                    "is {room}, which is less than one job of the highest price costs with its fees \
                     ({whole}): raise it, or lower the highest price of a job"
                );
                return Err((name, why));
            }
        }
        if self.per_hour > self.per_day {
            let why =
                format!("is {}, more than a whole day may cost ({})", self.per_hour, self.per_day);
            return Err(("per_hour", why));
        }
        if self.modes.is_empty() {
            return Err(("modes", "names none, so nothing could ever be done".into()));
        }
        Ok(())
    }

    /// What a job of these terms may cost in all: the price, and the most for each of its payments.
    pub fn cost(&self, terms: &Terms) -> Msat {
        let one = |terms: Terms| -> Msat {
            let parts = (0..terms.tranches.max(1)).filter_map(|t| {
                let part = terms.price.tranche(t, terms.tranches.max(1))?;
                Some(plus(part, self.most_fee(part)))
            });
            parts.sum()
        };
        terms.parts().map(one).sum()
    }
}

fn plus(a: Msat, b: Msat) -> Msat {
    a.checked_add(b).unwrap_or(Msat::MAX)
}

/// What automation has to do with one job: the fold of what it was charged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Charge {
    /// Who made the bid, as a worker, or the first promise of its money.
    pub by: Option<Actor>,
    /// What the job may cost in all, fees included, by automation's own promise.
    pub most: Msat,
    /// What was paid for it, fees included, and when.
    pub paid: Vec<(Time, Msat)>,
    /// Who waits for a person's word, and to do what.
    pub asked: Option<(Actor, Verb)>,
    /// Whether a person has approved its price.
    pub approved: bool,
}

impl Charge {
    pub(super) fn apply(&mut self, fact: &Fact, at: Time, amount: Option<Msat>) {
        match fact {
            Fact::Automated { by, most: Some(most), .. } => {
                self.by.get_or_insert_with(|| by.clone());
                self.most = self.most.max(*most);
            }
            Fact::ApprovalAsked { by, verb } => self.asked = Some((by.clone(), *verb)),
            Fact::Approved => (self.approved, self.asked) = (true, None),
            Fact::Paid { fee, .. } => {
                self.paid.push((at, plus(amount.unwrap_or_default(), *fee)));
            }
            _ => {}
        }
    }

    fn paid_since(&self, from: Time) -> Msat {
        // What lies in the future was paid before the clock was set back: it counts.
        self.paid.iter().filter(|(at, _)| *at >= from).map(|(_, amount)| *amount).sum()
    }
}

impl Job {
    /// What automation still promises for it.
    pub fn promised(&self) -> Msat {
        open(self, self.charge.most)
    }
}

/// What a job still counts as a promise.
fn open(job: &Job, most: Msat) -> Msat {
    if job.phase.is_over() && job.payments().is_empty() {
        return Msat::ZERO;
    }
    most.saturating_sub(job.charge.paid.iter().map(|(_, amount)| *amount).sum())
}

/// What automation has promised and paid, as far as a budget counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Open promises.
    pub at_risk: Msat,
    /// Paid in the last hour.
    pub hour: Msat,
    /// Paid in the last day.
    pub day: Msat,
    /// Open promises to this person, and what was paid to them in the last day.
    pub person: Msat,
}

impl Spent {
    /// Adds up the charged jobs, but for `except`; `person` is counted for itself.
    pub fn of<'a>(
        jobs: impl Iterator<Item = &'a Job>,
        except: Option<&BidId>,
        person: Option<&Pubkey>,
        now: Time,
    ) -> Self {
        let mut spent = Self::default();
        for job in jobs.filter(|job| job.charge.by.is_some() && Some(&job.id) != except) {
            spent.add(job, job.promised(), person, now);
        }
        spent
    }

    fn add(&mut self, job: &Job, open: Msat, person: Option<&Pubkey>, now: Time) {
        let day = job.charge.paid_since(now.before(Span::DAY));
        self.at_risk = plus(self.at_risk, open);
        self.hour = plus(self.hour, job.charge.paid_since(now.before(Span::HOUR)));
        self.day = plus(self.day, day);
        if person == Some(&job.peer()) {
            self.person = plus(self.person, plus(open, day));
        }
    }
}

/// Whether an automated actor may ask this of a job; `spent` is of all other jobs, added up only where it
/// matters. The fact that records
/// it goes into the same commit as what it leads to.
///
/// # Errors
/// `budget-...` where a limit is reached, `needs-approval` where a person's word is missing, `person-only`
/// for what is never automation's to say.
pub fn allow(
    job: &Job,
    by: &Actor,
    ask: &Ask,
    budget: &Budget,
    spent: impl FnOnce() -> Spent,
    now: Time,
) -> Result<Fact, Refusal> {
    let Some(verb) = ask.verb() else { return Err(person_only("This")) };
    let recorded = |most| Fact::Automated { by: by.clone(), verb, most };
    let fee = match ask {
        Ask::Approve => return Err(person_only("Approving")),
        Ask::Award(_) => None,
        Ask::Fund { max_fee, .. } | Ask::Accept { max_fee } => Some(*max_fee),
        _ => return Ok(recorded(None)),
    };
    let terms = job.terms();
    let whole = job.agreed();
    modes(budget, &whole.parts().map(|part| part.mode).collect::<Vec<_>>())?;
    over(whole.price, budget.per_job, "job", "One job may cost")?;
    if let Some(fee) = fee {
        let parts = (0..terms.tranches).filter_map(|t| terms.price.tranche(t, terms.tranches));
        let part = if job.escrow.is_some() { Some(terms.price) } else { parts.max() };
        let cap = budget.most_fee(part.unwrap_or(terms.price));
        // Releasing an escrow pays no fee: that was in the funding.
        let releases = job.escrow.is_some() && matches!(ask, Ask::Accept { .. });
        if fee > cap && !releases {
            let sentence = format!(
                "Automation may pay {cap} for routing this; {fee} was asked. Nothing was done."
            );
            return Err(Refusal::new("budget-fee", sentence)
                .next(format!("Ask with at most {} msat, or raise bot.fee_ppm_max.", cap.get())));
        }
    }
    if whole.price > budget.approve_above && !job.charge.approved {
        let sentence = format!(
            "{} is above {}, what automation may decide alone. A person was asked. Nothing was done.",
            whole.price, budget.approve_above
        );
        return Err(Refusal::new("needs-approval", sentence)
            .next(format!("earnest approve {}", job.id.short())));
    }
    let most = budget.cost(whole).max(job.charge.most);
    let mut with = spent();
    with.add(job, open(job, most), Some(&job.peer()), now);
    over(with.at_risk, budget.at_risk, "risk", "Promised at once may be")?;
    over(plus(with.at_risk, with.hour), budget.per_hour, "hour", "An hour may cost")?;
    over(plus(with.at_risk, with.day), budget.per_day, "day", "A day may cost")?;
    over(with.person, budget.per_person, "person", "One person may get in a day")?;
    Ok(recorded(Some(most)))
}

/// Whether automation may publish this gig, with so many of its gigs open.
///
/// # Errors
/// `budget-job`, `budget-mode`, `budget-gigs`.
pub fn allow_post(draft: &GigDraft, budget: &Budget, open: usize) -> Result<(), Refusal> {
    modes(budget, &draft.modes)?;
    over(draft.price, budget.per_job, "job", "One job may cost")?;
    if open >= MOST_GIGS {
        let sentence = format!("{MOST_GIGS} gigs of automation are open. Nothing was published.");
        return Err(Refusal::new("budget-gigs", sentence).next("Close some: earnest close GIG"));
    }
    Ok(())
}

/// Whether automation may bid in this mode.
///
/// # Errors
/// `budget-mode`.
pub fn allow_mode(budget: &Budget, mode: Mode) -> Result<(), Refusal> {
    modes(budget, &[mode])
}

/// Whether automation may rely on these checks: for each part of a job the kind of each; `None` is one whose
/// body does not stand in the listing.
///
/// # Errors
/// `budget-check`.
pub fn allow_checks(budget: &Budget, parts: &[Vec<Option<&str>>]) -> Result<(), Refusal> {
    let no = |what: String| {
        let sentence = format!("{what} Nothing was done.");
        Err(Refusal::new("budget-check", sentence).next("A person can allow it: bot.checks"))
    };
    let required = budget.checks.iter().any(|word| word == REQUIRED);
    if required && parts.iter().any(Vec::is_empty) {
        return no("Automation may pay only for what is held against a check.".into());
    }
    let kinds: Vec<&str> = budget.checks.iter().map(String::as_str).collect();
    let any = kinds.iter().all(|word| *word == REQUIRED);
    match parts.iter().flatten().find(|kind| kind.is_none_or(|kind| !kinds.contains(&kind))) {
        Some(Some(kind)) if !any => no(format!("Automation may not rely on a check of kind {kind}.")),
        Some(None) if !any => no(
            "Automation may not rely on a check that does not stand in the gig: its kind is not known.".into(),
        ),
        _ => Ok(()),
    }
}

/// What is never automation's to say.
pub fn person_only(what: &str) -> Refusal {
    Refusal::new("person-only", format!("{what} is a person's to do. Nothing was done."))
}

fn modes(budget: &Budget, modes: &[Mode]) -> Result<(), Refusal> {
    match modes.iter().find(|mode| !budget.modes.contains(mode)) {
        None => Ok(()),
        Some(mode) => {
            let sentence =
                format!("Automation may not use mode {}. Nothing was done.", mode.word());
            Err(Refusal::new("budget-mode", sentence).next("A person can allow it: bot.modes"))
        }
    }
}

fn over(would: Msat, most: Msat, what: &str, may: &str) -> Result<(), Refusal> {
    if would <= most {
        return Ok(());
    }
    let sentence =
        format!("{may} {most} by automation; with this it would be {would}. Nothing was done.");
    let next = match what {
        "job" => "Only a person can do this, or raise bot.per_job_sats.",
        _ => {
            "It may have room again when open jobs are over or time has passed; earnest bot budget shows it."
        }
    };
    Err(Refusal::new(&format!("budget-{what}"), sentence).next(next))
}

/// The kill switch: the fold of its own log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switch {
    /// Why automation is stopped, while it is.
    pub halted: Option<String>,
    /// How many facts.
    pub n: u64,
}

/// The log of the switch: no event has this id.
pub const SWITCH_LOG: crate::market::EventId =
    crate::market::EventId(*b"earnest/v1/the-automation-switch");

impl Switch {
    /// Folds one more fact.
    pub fn apply(&mut self, fact: &Fact) {
        self.n += 1;
        match fact {
            Fact::Halted { why } => self.halted = Some(why.clone()),
            Fact::Resumed => self.halted = None,
            _ => {}
        }
    }

    /// Whether automation may do anything.
    ///
    /// # Errors
    /// `bot-stopped`.
    pub fn allow(&self) -> Result<(), Refusal> {
        let Some(why) = &self.halted else { return Ok(()) };
        let because = if why.is_empty() { String::new() } else { format!(" ({why})") };
        let sentence = format!("Automation is stopped{because}. Nothing was done.");
        Err(Refusal::new("bot-stopped", sentence).next("A person can start it: earnest bot start"))
    }
}

/// Whether a job waits for a person's word on what automation asked.
pub(super) fn may_approve(job: &Job) -> Result<(), Refusal> {
    match (&job.charge.asked, job.role) {
        (Some(_), Role::Requester) if !job.phase.is_over() => Ok(()),
        _ => Err(Refusal::new("not-asked", "No bot or agent asks for your word on this job.")),
    }
}

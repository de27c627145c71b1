//! The handle: how every front end speaks to the engine, and all it can hold of it, wherever the engine
//! runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};

use crate::engine::{
    FactView, Fault, GigView, LedgerRow, MuteView, Notice, PersonView, Snapshot, ToldNotice,
    Trouble, Wallet, WalletAnswer, WalletCommand,
};
use crate::market::{
    Actor, Attachment, BidId, Budget, CaseId, EventId, Gig, GigDraft, Msat, Page, Pubkey, Query,
    Refusal, Role, Wish, person_only,
};

/// What a front end asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and a gig is what is large")]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Publish a gig.
    Post {
        /// As written.
        draft: GigDraft,
        /// Files for whoever is awarded.
        inputs: Vec<PathBuf>,
        /// What makes it one gig however often it is asked for: the same key of the same actor again
        /// answers with the gig that is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// Take no more bids.
    Close {
        /// Any version of the gig.
        gig: EventId,
    },
    /// Bid on a gig in the book.
    Bid {
        /// The version that is answered.
        gig: EventId,
        /// What is offered.
        wish: Wish,
        /// For a person.
        message: String,
    },
    /// Give the job to a bidder.
    Award {
        /// The bid.
        job: BidId,
    },
    /// Say no to a bid.
    Decline {
        /// The bid.
        job: BidId,
        /// For a person.
        reason: String,
    },
    /// Take a bid back.
    Withdraw {
        /// The bid.
        job: BidId,
        /// For a person.
        reason: String,
    },
    /// Hand the work over.
    Deliver {
        /// The job.
        job: BidId,
        /// The file.
        file: PathBuf,
        /// For a person.
        message: String,
    },
    /// Lock the money of a job in escrow.
    Fund {
        /// The job.
        job: BidId,
        /// The most to pay in routing fees.
        max_fee: Msat,
    },
    /// Pay for what was delivered; in escrow, release the money.
    Accept {
        /// The job.
        job: BidId,
        /// The most to pay in routing fees, for each tranche.
        max_fee: Msat,
    },
    /// Send the delivery back.
    Reject {
        /// The job.
        job: BidId,
        /// For a person.
        reason: String,
    },
    /// In escrow with a judge: call it.
    Dispute {
        /// The job.
        job: BidId,
        /// For people.
        reason: String,
    },
    /// In escrow with a judge: answer what the other side says to it.
    Object {
        /// The job.
        job: BidId,
        /// For people.
        reason: String,
    },
    /// Judge: the end of a dispute.
    Rule {
        /// The case.
        case: CaseId,
        /// For whom.
        whose: Role,
        /// For people.
        reason: String,
    },
    /// Judge: words to both sides.
    CaseNote {
        /// The case.
        case: CaseId,
        /// For people.
        text: String,
    },
    /// Stop here.
    Cancel {
        /// The job.
        job: BidId,
        /// For a person.
        reason: String,
    },
    /// Words.
    Note {
        /// The job.
        job: BidId,
        /// For a person.
        text: String,
    },
    /// One to five.
    Rate {
        /// The job.
        job: BidId,
        /// From 1 to 5.
        stars: u8,
        /// For a person.
        comment: String,
    },
    /// A person: let automation do this job at its price.
    Approve {
        /// The job.
        job: BidId,
    },
}

/// What a command led to: the log it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// A job's or a gig's.
    pub log: EventId,
    /// How many facts that log has now: a view with as many shows what was done.
    pub facts: u64,
}

/// The most bytes of one input file (PROTOCOL.md 2).
pub const MOST_INPUT: u64 = 8 << 20;

/// One question or command, as it goes down a [`Line`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// [`Handle::ask`]. Paths are absolute.
    Do(Box<Command>),
    /// [`Handle::preview`].
    Preview {
        /// As written.
        draft: Box<GigDraft>,
        /// What would be attached.
        inputs: Vec<Attachment>,
    },
    /// [`Handle::find`].
    Find(Box<Query>),
    /// [`Handle::gig`].
    Gig(EventId),
    /// [`Handle::history`].
    History(BidId),
    /// [`Handle::payments`].
    Payments,
    /// [`Handle::people`].
    People(Option<Pubkey>),
    /// [`Handle::import`].
    Import(String),
    /// [`Handle::mute`].
    Mute {
        /// Whom.
        who: Pubkey,
        /// Or not any more.
        mute: bool,
    },
    /// [`Handle::mutes`].
    Mutes,
    /// [`Handle::wallet`].
    Wallet(WalletCommand),
    /// [`Handle::told`].
    Told {
        /// The place after which.
        after: Option<u64>,
        /// Of at most so many facts.
        limit: u32,
    },
    /// [`Handle::budget`].
    Budget,
    /// [`Handle::halt`] with why, [`Handle::resume`] without.
    Switch(Option<String>),
    /// What an automated actor asks: within the budget, and nothing of what is a person's alone.
    As {
        /// Who.
        by: Actor,
        /// What; never this again.
        call: Box<Call>,
    },
    /// [`Handle::stop`].
    Stop,
}

impl Call {
    /// Who asks, unless it is a person, and what.
    pub fn parts(self) -> (Option<Actor>, Self) {
        match self {
            Self::As { by, call } => (Some(by), *call),
            call => (None, call),
        }
    }

    /// Whether an automated actor may ask this at all; the budget decides about the rest.
    ///
    /// # Errors
    /// `person-only`.
    pub fn is_for_automation(&self) -> Result<(), Refusal> {
        match self {
            Self::Do(_)
            | Self::Preview { .. }
            | Self::Find(_)
            | Self::Gig(_)
            | Self::History(_)
            | Self::Payments
            | Self::People(_)
            | Self::Mutes
            | Self::Told { .. }
            | Self::Budget
            // Whoever sees something go wrong may pull the brake.
            | Self::Switch(Some(_)) => Ok(()),
            Self::Wallet(command) if command.only_looks() => Ok(()),
            Self::Wallet(_) => Err(person_only("Moving money by hand")),
            Self::Mute { .. } => Err(person_only("Muting")),
            Self::Import(_) => Err(person_only("Taking receipts and proofs from a file")),
            Self::Switch(None) => Err(person_only("Starting automation again")),
            Self::Stop => Err(person_only("Stopping earnest")),
            Self::As { .. } => Err(person_only("Speaking for another actor")),
        }
    }
}

/// The budget of automation, and what is spent of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BudgetView {
    /// The limits.
    pub budget: Budget,
    /// Open promises.
    pub at_risk: Msat,
    /// Paid in the last hour.
    pub hour: Msat,
    /// Paid in the last day.
    pub day: Msat,
    /// Why automation is stopped, while it is.
    pub halted: Option<String>,
    /// Jobs that wait for a person's word.
    pub waiting: Vec<BidId>,
}

impl BudgetView {
    /// What may still be promised now, fees included, whoever the person is.
    pub fn left(&self) -> Msat {
        let b = &self.budget;
        let used = |paid: Msat| self.at_risk.checked_add(paid).unwrap_or(Msat::MAX);
        let rooms = [
            b.at_risk.saturating_sub(self.at_risk),
            b.per_hour.saturating_sub(used(self.hour)),
            b.per_day.saturating_sub(used(self.day)),
        ];
        rooms.into_iter().min().unwrap_or_default()
    }
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Call::Do`].
    Done(Receipt),
    /// To [`Call::Preview`].
    Preview(Box<Gig>),
    /// To [`Call::Find`].
    Page(Page),
    /// To [`Call::Gig`].
    Gig(Option<Box<GigView>>),
    /// To [`Call::History`].
    History(Vec<FactView>),
    /// To [`Call::Payments`].
    Payments(Vec<LedgerRow>),
    /// To [`Call::People`].
    People(Vec<PersonView>),
    /// To [`Call::Import`]: whether it was new.
    Imported(bool),
    /// To [`Call::Mute`] and [`Call::Mutes`]: who is muted now.
    Mutes(Vec<MuteView>),
    /// To [`Call::Wallet`].
    Wallet(WalletAnswer),
    /// To [`Call::Told`]: notices, and up to which place they are told.
    Told(Vec<ToldNotice>, u64),
    /// To [`Call::Budget`] and [`Call::Switch`].
    Budget(Box<BudgetView>),
    /// To [`Call::Stop`].
    Stopped,
}

/// The way to an engine: in this process, or in the one that owns the data directory.
#[async_trait]
pub trait Line: Send + Sync {
    /// Asks and waits for the answer. What was asked is done whole or not at all, also when nobody waits
    /// any more.
    async fn call(&self, call: Call) -> Result<Answer, Trouble>;
    /// What eyes may see now, and whenever it changes; closed when the engine has ended.
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>>;
    /// What is worth telling from now on.
    fn notices(&self) -> broadcast::Receiver<Notice>;
}

/// Speaks to the engine. Cheap to clone; a handle that is dropped changes nothing.
#[derive(Clone)]
pub struct Handle {
    line: Arc<dyn Line>,
    wallet: Option<Arc<dyn Wallet>>,
    actor: Option<Actor>,
}

impl Handle {
    /// A handle on whatever is at the other end of the line.
    pub fn new(line: Arc<dyn Line>) -> Self {
        Self { line, wallet: None, actor: None }
    }

    /// The same handle, its wallet's verbs done by this node.
    #[must_use]
    pub fn with_wallet(self, wallet: Arc<dyn Wallet>) -> Self {
        Self { wallet: Some(wallet), ..self }
    }

    /// The same handle in the hands of a bot or an agent: everything that it asks is asked in this name
    /// and within the budget. There is no way back to a person's.
    #[must_use]
    pub fn acting_as(&self, actor: &Actor) -> Self {
        let actor = self.actor.clone().unwrap_or_else(|| actor.clone());
        Self { actor: Some(actor), ..self.clone() }
    }

    /// In whose hands it is, unless in a person's.
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }

    /// One call, whatever it is. The methods below are made of it.
    pub async fn call(&self, call: Call) -> Result<Answer, Trouble> {
        let call = match (&self.actor, call) {
            (Some(by), call) => Call::As { by: by.clone(), call: Box::new(call) },
            (None, call) => call,
        };
        if let Call::As { call, .. } = &call {
            call.is_for_automation()?;
        }
        let call = match (&self.wallet, call) {
            (Some(_), Call::As { call, .. }) if matches!(*call, Call::Wallet(_)) => *call,
            (_, call) => call,
        };
        match (&self.wallet, call) {
            (Some(wallet), Call::Wallet(command)) => {
                let promised = self.line.watch().borrow().reserved;
                Ok(Answer::Wallet(wallet.wallet(&command, promised).await?))
            }
            (_, call) => self.line.call(call).await,
        }
    }

    /// Asks for a command and waits until it is committed: what follows runs by itself.
    pub async fn ask(&self, mut command: Command) -> Result<Receipt, Trouble> {
        // The engine may run in another process, whose working directory is not ours.
        match &mut command {
            Command::Post { inputs, .. } => {
                for input in inputs {
                    *input = absolute(input)?;
                }
            }
            Command::Deliver { file, .. } => *file = absolute(file)?,
            _ => {}
        }
        match self.call(Call::Do(Box::new(command))).await? {
            Answer::Done(receipt) => Ok(receipt),
            other => Err(astray(&other).into()),
        }
    }

    /// What strangers would see of a draft. Nothing is published, nothing copied.
    pub async fn preview(&self, draft: GigDraft, inputs: Vec<Attachment>) -> Result<Gig, Trouble> {
        match self.call(Call::Preview { draft: Box::new(draft), inputs }).await? {
            Answer::Preview(gig) => Ok(*gig),
            other => Err(astray(&other).into()),
        }
    }

    /// A window on the book.
    pub async fn find(&self, query: Query) -> Result<Page, Fault> {
        match self.call(Call::Find(Box::new(query))).await.map_err(fault)? {
            Answer::Page(page) => Ok(page),
            other => Err(astray(&other)),
        }
    }

    /// One gig, for eyes.
    pub async fn gig(&self, id: EventId) -> Result<Option<GigView>, Fault> {
        match self.call(Call::Gig(id)).await.map_err(fault)? {
            Answer::Gig(gig) => Ok(gig.map(|gig| *gig)),
            other => Err(astray(&other)),
        }
    }

    /// A job's history, line by line: the newest [`crate::engine::MOST_LINES`].
    pub async fn history(&self, id: BidId) -> Result<Vec<FactView>, Trouble> {
        match self.call(Call::History(id)).await? {
            Answer::History(facts) => Ok(facts),
            other => Err(astray(&other).into()),
        }
    }

    /// The payment ledger, oldest first.
    pub async fn payments(&self) -> Result<Vec<LedgerRow>, Fault> {
        match self.call(Call::Payments).await.map_err(fault)? {
            Answer::Payments(rows) => Ok(rows),
            other => Err(astray(&other)),
        }
    }

    /// The people of our jobs, whoever was heard last first, at most [`crate::engine::MOST_PEOPLE`]; or
    /// one of them, with nothing in it if nothing is known. Of one the relays are asked, too, for a while: ask
    /// again for what they said.
    pub async fn people(&self, who: Option<Pubkey>) -> Result<Vec<PersonView>, Fault> {
        match self.call(Call::People(who)).await.map_err(fault)? {
            Answer::People(people) => Ok(people),
            other => Err(astray(&other)),
        }
    }

    /// Takes a receipt or a proof (an event of kind 3922 or 3923, or the JSON of a proof). Whether it was new.
    pub async fn import(&self, json: String) -> Result<bool, Trouble> {
        match self.call(Call::Import(json)).await? {
            Answer::Imported(new) => Ok(new),
            other => Err(astray(&other).into()),
        }
    }

    /// Does not show an author's gigs and bids any more, or shows them again. Jobs with them go on.
    pub async fn mute(&self, who: Pubkey, mute: bool) -> Result<Vec<MuteView>, Trouble> {
        match self.call(Call::Mute { who, mute }).await? {
            Answer::Mutes(mutes) => Ok(mutes),
            other => Err(astray(&other).into()),
        }
    }

    /// Who is muted, the longest first.
    pub async fn mutes(&self) -> Result<Vec<MuteView>, Fault> {
        match self.call(Call::Mutes).await.map_err(fault)? {
            Answer::Mutes(mutes) => Ok(mutes),
            other => Err(astray(&other)),
        }
    }

    /// What was worth telling after this place, of the next `limit` facts (500 at most), and the place that
    /// is told by it: ask again from there. Without a place: nothing, and where things stand now.
    pub async fn told(
        &self,
        after: Option<u64>,
        limit: u32,
    ) -> Result<(Vec<ToldNotice>, u64), Trouble> {
        match self.call(Call::Told { after, limit: limit.min(500) }).await? {
            Answer::Told(told, upto) => Ok((told, upto)),
            other => Err(astray(&other).into()),
        }
    }

    /// The budget of automation, and what is spent of it.
    pub async fn budget(&self) -> Result<BudgetView, Trouble> {
        self.switched(Call::Budget).await
    }

    /// Stops all automation at once, until a person lets it go on. What was begun ends as it ends.
    pub async fn halt(&self, why: &str) -> Result<BudgetView, Trouble> {
        self.switched(Call::Switch(Some(why.to_owned()))).await
    }

    /// Lets automation go on.
    pub async fn resume(&self) -> Result<BudgetView, Trouble> {
        self.switched(Call::Switch(None)).await
    }

    async fn switched(&self, call: Call) -> Result<BudgetView, Trouble> {
        match self.call(call).await? {
            Answer::Budget(view) => Ok(*view),
            other => Err(astray(&other).into()),
        }
    }

    /// What a person does with the node by hand.
    pub async fn wallet(&self, command: WalletCommand) -> Result<WalletAnswer, Trouble> {
        match self.call(Call::Wallet(command)).await? {
            Answer::Wallet(answer) => Ok(answer),
            other => Err(astray(&other).into()),
        }
    }

    /// What eyes may see now, and whenever it changes; closed when the engine has ended.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.line.watch()
    }

    /// What is worth telling from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.line.notices()
    }

    /// Stops the loop: nothing new is begun, what runs is waited for a little, everything else goes on at
    /// the next start.
    pub async fn stop(&self) {
        let _ = self.call(Call::Stop).await;
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Fault> {
    std::path::absolute(path).map_err(|why| {
        Fault::Never(format!("{} cannot be used: {why}. Nothing was done.", path.display()))
    })
}

/// For questions that the market cannot refuse: only the way to it can.
fn fault(trouble: Trouble) -> Fault {
    match trouble {
        Trouble::Failed(fault) => fault,
        other => Fault::Never(other.to_string()),
    }
}

/// An answer to another question: two processes that do not fit each other.
fn astray(_: &Answer) -> Fault {
    Fault::Never(
        "The earnest that owns this directory answered another question. Are both of one version?"
            .into(),
    )
}

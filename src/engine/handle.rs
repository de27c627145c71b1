//! The handle: how every front end speaks to the engine, and all it can hold of it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::engine::{FactView, Fault, Files, GigView, LedgerRow, Notice, Snapshot, Trouble};
use crate::market::{Attachment, BidId, EventId, Gig, GigDraft, Msat, Nonce, Page, Query, Wish};

/// What a front end asks.
#[derive(Debug, Clone)]
pub enum Command {
    /// Publish a gig.
    Post {
        /// As written.
        draft: GigDraft,
        /// Files for whoever is awarded.
        inputs: Vec<PathBuf>,
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
    /// Pay for what was delivered.
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
}

/// What a command led to: the log it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// A job's or a gig's.
    pub log: EventId,
}

/// What reaches the loop: commands with their files already copied, and questions.
pub(super) enum Request {
    Do(Ready, oneshot::Sender<Result<Receipt, Trouble>>),
    Preview(Box<GigDraft>, Vec<Attachment>, oneshot::Sender<Result<Gig, Trouble>>),
    Find(Box<Query>, oneshot::Sender<Result<Page, Fault>>),
    Gig(EventId, oneshot::Sender<Result<Option<Gig>, Fault>>),
    History(BidId, oneshot::Sender<Result<Vec<FactView>, Trouble>>),
    Payments(oneshot::Sender<Result<Vec<LedgerRow>, Fault>>),
    Stop(oneshot::Sender<()>),
}

/// A command whose files are copies of our own.
pub(super) enum Ready {
    Plain(Command),
    Post { draft: Box<GigDraft>, inputs: Vec<(Attachment, PathBuf)> },
    Deliver { job: BidId, source: PathBuf, file: Attachment, message: String },
}

/// The most bytes of one input file (PROTOCOL.md 2).
pub const MOST_INPUT: u64 = 8 << 20;

/// Speaks to the engine. Cheap to clone; a handle that is dropped changes nothing.
#[derive(Clone)]
pub struct Handle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) files: Arc<dyn Files>,
    pub(super) fresh: Arc<dyn Fn() -> Nonce + Send + Sync>,
}

impl Handle {
    /// Asks for a command and waits until it is committed: what follows runs by itself.
    pub async fn ask(&self, command: Command) -> Result<Receipt, Trouble> {
        let ready = self.prepare(command).await?;
        self.request(|answer| Request::Do(ready, answer)).await?
    }

    async fn prepare(&self, command: Command) -> Result<Ready, Trouble> {
        Ok(match command {
            Command::Post { draft, inputs } => {
                let folder = EventId((self.fresh)().0);
                let mut copies = Vec::new();
                for input in inputs {
                    copies.push(self.files.adopt(&folder, &input, MOST_INPUT).await?);
                }
                Ready::Post { draft: Box::new(draft), inputs: copies }
            }
            Command::Deliver { job, file, message } => {
                let snapshot = self.snapshot.borrow().clone();
                if !snapshot.jobs.contains_key(&job) {
                    return Err(Trouble::NotFound { what: "job", id: job.to_string() });
                }
                // The terms' own limit is the market's to judge; this one is only sanity.
                let (file, source) = self.files.adopt(&job, &file, crate::seal::MAX_TOTAL).await?;
                Ready::Deliver { job, source, file, message }
            }
            other => Ready::Plain(other),
        })
    }

    async fn request<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Fault> {
        let (answer, wait) = oneshot::channel();
        let gone = || Fault::Later("The engine has stopped. Nothing was done.".into());
        self.requests.send(make(answer)).await.map_err(|_| gone())?;
        wait.await.map_err(|_| gone())
    }

    /// What strangers would see of a draft. Nothing is published, nothing copied.
    pub async fn preview(&self, draft: GigDraft, inputs: Vec<Attachment>) -> Result<Gig, Trouble> {
        self.request(|answer| Request::Preview(Box::new(draft), inputs, answer)).await?
    }

    /// A window on the book.
    pub async fn find(&self, query: Query) -> Result<Page, Fault> {
        self.request(|answer| Request::Find(Box::new(query), answer)).await?
    }

    /// One gig, for eyes.
    pub async fn gig(&self, id: EventId) -> Result<Option<GigView>, Fault> {
        let gig = self.request(|answer| Request::Gig(id, answer)).await??;
        Ok(gig.as_ref().map(GigView::of))
    }

    /// A job's history, line by line.
    pub async fn history(&self, id: BidId) -> Result<Vec<FactView>, Trouble> {
        self.request(|answer| Request::History(id, answer)).await?
    }

    /// The payment ledger, oldest first.
    pub async fn payments(&self) -> Result<Vec<LedgerRow>, Fault> {
        self.request(Request::Payments).await?
    }

    /// What eyes may see now, and whenever it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// What is worth telling from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Stops the loop: nothing new is begun, what runs is waited for a little, everything else goes on at
    /// the next start.
    pub async fn stop(&self) {
        let _ = self.request(Request::Stop).await;
    }
}

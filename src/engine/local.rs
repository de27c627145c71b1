//! The line to an engine in this process.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::engine::{
    Answer, BudgetView, Call, FactView, Fault, Files, GigView, LedgerRow, Line, MuteView, Notice,
    PersonView, Ready, Receipt, Snapshot, ToldNotice, Trouble,
};
use crate::market::{Actor, Attachment, BidId, EventId, Gig, GigDraft, Nonce, Page, Pubkey, Query};

/// What reaches the loop: commands with their files already copied, and questions.
pub(super) enum Request {
    Do(Option<Actor>, Box<Ready>, oneshot::Sender<Result<Receipt, Trouble>>),
    Preview(Box<GigDraft>, Vec<Attachment>, oneshot::Sender<Result<Gig, Trouble>>),
    Find(Box<Query>, oneshot::Sender<Result<Page, Fault>>),
    Gig(EventId, oneshot::Sender<Result<Option<Gig>, Fault>>),
    History(BidId, oneshot::Sender<Result<Vec<FactView>, Trouble>>),
    People(Option<Pubkey>, oneshot::Sender<Vec<PersonView>>),
    Import(String, oneshot::Sender<Result<bool, Trouble>>),
    Mute(Pubkey, bool, oneshot::Sender<Result<Vec<MuteView>, Trouble>>),
    Mutes(oneshot::Sender<Vec<MuteView>>),
    Told(Option<u64>, u32, oneshot::Sender<Result<(Vec<ToldNotice>, u64), Fault>>),
    Budget(oneshot::Sender<BudgetView>),
    Switch(Option<String>, oneshot::Sender<Result<BudgetView, Trouble>>),
    Payments(oneshot::Sender<Result<Vec<LedgerRow>, Fault>>),
    Stop(oneshot::Sender<()>),
}

/// The way to the loop of this process.
pub(super) struct Local {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) files: Arc<dyn Files>,
    pub(super) fresh: Arc<dyn Fn() -> Nonce + Send + Sync>,
}

impl Local {
    async fn request<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Fault> {
        let (answer, wait) = oneshot::channel();
        let gone = || Fault::Later("The engine has stopped. Nothing was done.".into());
        self.requests.send(make(answer)).await.map_err(|_| gone())?;
        wait.await.map_err(|_| gone())
    }
}

#[async_trait]
impl Line for Local {
    async fn call(&self, call: Call) -> Result<Answer, Trouble> {
        let (by, call) = call.parts();
        if by.is_some() {
            call.is_for_automation()?;
        }
        Ok(match call {
            Call::Do(command) => {
                let (folder, shown) = (EventId((self.fresh)().0), self.snapshot.clone());
                let by_files = move |job: &BidId| Some(shown.borrow().jobs.get(job)?.by_files);
                let ready = Ready::prepare(*command, &*self.files, folder, by_files).await?;
                Answer::Done(
                    self.request(|answer| Request::Do(by, Box::new(ready), answer)).await??,
                )
            }
            Call::Preview { draft, inputs } => {
                let asked = self.request(|answer| Request::Preview(draft, inputs, answer));
                Answer::Preview(Box::new(asked.await??))
            }
            Call::Find(query) => {
                Answer::Page(self.request(|answer| Request::Find(query, answer)).await??)
            }
            Call::Gig(id) => {
                let gig = self.request(|answer| Request::Gig(id, answer)).await??;
                Answer::Gig(gig.as_ref().map(GigView::of).map(Box::new))
            }
            Call::History(id) => {
                Answer::History(self.request(|answer| Request::History(id, answer)).await??)
            }
            Call::People(who) => {
                Answer::People(self.request(|answer| Request::People(who, answer)).await?)
            }
            Call::Import(json) => {
                Answer::Imported(self.request(|answer| Request::Import(json, answer)).await??)
            }
            Call::Mute { who, mute } => {
                Answer::Mutes(self.request(|answer| Request::Mute(who, mute, answer)).await??)
            }
            Call::Told { after, limit } => {
                let asked = self.request(|answer| Request::Told(after, limit, answer));
                let (told, upto) = asked.await??;
                Answer::Told(told, upto)
            }
            Call::Budget => Answer::Budget(Box::new(self.request(Request::Budget).await?)),
            Call::Switch(why) => {
                let asked = self.request(|answer| Request::Switch(why, answer));
                Answer::Budget(Box::new(asked.await??))
            }
            Call::As { .. } => {
                let refusal = crate::market::person_only("Speaking for another actor");
                return Err(refusal.into());
            }
            Call::Mutes => Answer::Mutes(self.request(Request::Mutes).await?),
            Call::Payments => Answer::Payments(self.request(Request::Payments).await??),
            Call::Wallet(_) => {
                let said = "There is no wallet behind this engine. No money moved.";
                return Err(Fault::Never(said.into()).into());
            }
            Call::Stop => {
                // Stopped already is stopped.
                let _ = self.request(Request::Stop).await;
                Answer::Stopped
            }
        })
    }

    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

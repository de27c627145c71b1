//! An escrow for eyes: what its heights are, and when the money is back.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::engine::JudgeView;
use crate::market::{Job, Msat, PaymentHash, Span, longest_hold, payable_at, risk_of};

/// An escrow, for eyes. Heights are of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EscrowView {
    /// Blocks that the hold lasts.
    pub window: u32,
    /// Who judges, if anybody does, and how that stands.
    #[serde(default)]
    pub judge: Option<JudgeView>,
    /// The ledger's key.
    pub hash: PaymentHash,
    /// How often it was tried to lock the money before.
    pub attempt: u32,
    /// P, which every height counts from.
    pub end: Option<u32>,
    /// A delivery by here.
    pub deliver_by: Option<u32>,
    /// The secret by here.
    pub claim_by: Option<u32>,
    /// The height that ends the phase if nobody does anything, and what happens then.
    pub otherwise: Option<(u32, Cow<'static, str>)>,
    /// The real deadline that the worker signed.
    pub funded: Option<u32>,
    /// Requester: the worst height at which the money is back if nothing happens.
    pub refund_by: Option<u32>,
    /// Whether the money is locked or on its way.
    pub locked: bool,
    /// Whether the requester asks to have it back.
    pub asked_back: bool,
    /// Worker: what came in.
    pub received: Option<Msat>,
    /// Worker: what the LSP keeps.
    pub lsp_fee: Msat,
    /// Requester: routing fees paid.
    pub fee: Msat,
    /// What it does not cover, in a sentence.
    pub risk: Cow<'static, str>,
}

/// What nobody knows before the worker's bill is here.
const UNBILLED: &str = ", plus what the worker's bill adds for the route to it";
/// What a block takes on average, on any network but a test's own.
const BLOCK_TIME: Span = Span::MINUTE.times(10);

impl EscrowView {
    /// Requester, before the money is locked: when it is back at the latest if nothing happens, in words.
    /// `height` is the node's best block, 0 while it is not known.
    pub fn back_by(&self, height: u32) -> String {
        // A bill that is too old is not paid: the worker's node makes another, which counts from then.
        let stands = self.end.is_some_and(|end| height <= payable_at(end, self.window).1);
        let (hold, known) = (longest_hold(self.window), self.refund_by.filter(|_| stands));
        let at = known.unwrap_or(height.saturating_add(hold));
        let blocks = at.saturating_sub(height);
        let about = BLOCK_TIME.times(u64::from(blocks));
        match (known, height) {
            (None, 0) => format!("{hold} blocks after it is locked{UNBILLED}"),
            (Some(at), 0) => format!("block {at}"),
            (None, _) => {
                format!("block {at} if it is locked now{UNBILLED}: {blocks} blocks, about {about}")
            }
            (Some(at), _) => format!("block {at}: {blocks} blocks from now, about {about}"),
        }
    }

    /// The escrow of a job, if it is in one.
    pub fn of(job: &Job) -> Option<Self> {
        let (escrow, terms) = (job.escrow.as_ref()?, job.terms().escrow.as_ref()?);
        let t = escrow.timetable(terms.window);
        Some(Self {
            window: terms.window,
            judge: JudgeView::of(job),
            hash: escrow.lock.hash,
            attempt: escrow.lock.attempt,
            end: escrow.end,
            deliver_by: t.map(|t| t.deliver()),
            claim_by: t.map(|t| t.claim()),
            otherwise: job.height_deadline().map(|(at, what)| (at, what.into())),
            funded: escrow.funded,
            refund_by: escrow.worst_refund(terms.window),
            locked: escrow.is_locked(),
            asked_back: escrow.asked_back,
            received: escrow.received,
            lsp_fee: escrow.lsp_fee,
            fee: escrow.fee,
            risk: risk_of(terms, job.role).into(),
        })
    }
}

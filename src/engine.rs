//! The one loop: input, step, one commit, outbox.
//!
//! [`Core`] is the loop's body: no task, no socket, no sleep. [`start`] puts the runner around it, which
//! gives it what relays, node and people say and runs its effects through the ports. Front ends hold a
//! [`Handle`].

mod cases;
mod commit;
mod core;
mod effect;
mod escrow;
mod files;
mod handle;
mod history;
mod local;
mod milestone;
mod net;
mod notice;
mod obey;
mod people;
mod pin;
mod ports;
mod posts;
mod proof;
mod rows;
mod run;
mod snapshot;
mod views;
mod wallet;

pub use cases::*;
pub use core::{BID_STANDS, Changed, Core, Me, OpenClaim, Replays, Taken, Trouble, kinds};
pub use effect::{Done, Workbench, claim_key, perform};
pub use escrow::EscrowView;
pub use files::*;
pub use handle::{Answer, BudgetView, Call, Command, Handle, Line, MOST_INPUT, Receipt};
pub use history::*;
pub use milestone::*;
pub use net::{Net, NoNet};
pub use notice::{Notice, Severity, ToldNotice};
pub use obey::{Ready, obey};
pub use people::*;
pub use pin::pin;
pub use ports::*;
pub use posts::*;
pub use proof::{ProofOrder, Shows};
pub use rows::*;
pub use run::{Ports, Progress, start};
pub use snapshot::*;
pub use views::Views;
pub use wallet::*;

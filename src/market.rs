//! What a job is and what may happen next. Pure: no clock, dice, disk or network; time and chance are
//! inputs.

mod book;
mod id;
mod money;
mod order;
mod record;
mod search;
mod terms;
mod time;

pub use book::*;
pub use id::*;
pub use money::*;
pub use order::*;
pub use record::*;
pub use search::*;
pub use terms::*;
pub use time::*;

//! What a job is and what may happen next. Pure: no clock, dice, disk or network; time and chance are
//! inputs.

mod bid;
mod book;
mod budget;
mod draft;
mod effect;
mod escrow;
mod fact;
mod id;
mod input;
mod invoice;
mod job;
mod legal;
mod money;
mod order;
mod post;
mod quality;
mod record;
mod refusal;
mod search;
mod step;
mod terms;
mod time;

pub use bid::*;
pub use book::*;
pub use budget::*;
pub use draft::*;
pub use effect::*;
pub use escrow::*;
pub use fact::*;
pub use id::*;
pub use input::*;
pub use invoice::*;
pub use job::*;
pub use legal::*;
pub use money::*;
pub use order::*;
pub use post::*;
pub use quality::*;
pub use record::*;
pub use refusal::*;
pub use search::*;
pub use step::*;
pub use terms::*;
pub use time::*;

//! The terminal front end.
//!
//! The rule: keys in, screens out. [`update`] takes one message and says what is to be done, [`draw`] shows
//! the model and the snapshot, and only the loop in `run` waits for anything. It speaks to the engine
//! through its handle and to the terminal through one file.
//!
//! ```text
//! ┌ 1 Gigs  2 Post  3 Jobs ... ───────────────── screen::frame
//! ┌ Gigs ────────┐┌ Detail ─────┐┌ Terms ─────┐
//! │/ label #rust  ││             ││            │  screen::{gigs,jobs,..}, part::{list,pane,markdown}
//! └──────────────┘└─────────────┘└────────────┘
//! relays 3/4  node 871204  send 21,000 sat       part::health, from the snapshot
//! b bid  ? help  q quit                          part::footer, from keymap and market::legal
//! ```

mod errand;
mod faucet;
mod headless;
mod keymap;
mod model;
mod msg;
mod palette;
mod part;
mod run;
mod screen;
mod terminal;
mod theme;
mod update;

pub use faucet::{Faucet, Wanted};
pub use headless::Headless;
pub use keymap::{Act, Bind, Context, KEYMAP, key};
pub use model::{
    Book, Drafting, Key, LEAST_FEE_CAP, Layer, Model, Moment, Pending, Purse, Screen, Settings,
    Stage, TOAST_MS, Then, Toast,
};
pub use msg::{Do, Found, Msg, Said};
pub use palette::{Entry, Leads, Palette};
pub use part::code::{Code, Looked};
pub use part::confirm::{Answer, Confirm, DEAF_MS};
pub use part::footer::offers;
pub use part::form::{Form, Purpose};
pub use run::{Ended, Options, run};
pub use screen::draw;
pub use theme::{Depth, NotATheme, Role, Theme, shipped};
pub use update::update;

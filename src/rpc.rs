//! One owner, many fronts: whoever starts first owns the data directory and serves its `Handle` on a unix
//! socket; everybody else talks to it as if the engine were their own.
//!
//! The rule: the socket is for the user who owns the directory and nobody else; a line, a connection and
//! what waits in one are bounded before they are read; a client that dies, floods or lies changes nothing
//! for anybody else.
//!
//! The wire form is newline JSON, one object a line:
//!
//! ```text
//! > {"v":1,"id":7,"do":{"find":{..}}}            one Call of the engine
//! < {"v":1,"id":7,"ok":{"answer":{"page":..}}}    its Answer
//! < {"v":1,"id":7,"err":{"refused":{..}}}         or its Trouble
//! > {"v":1,"id":8,"do":"watch"}                   from now on
//! < {"v":1,"id":8,"ok":{"change":{..}}}           what changed in the snapshot, the first time all of it
//! > {"v":1,"id":9,"do":"notices"}
//! < {"v":1,"id":9,"ok":{"notice":{..}}}
//! < {"v":1,"id":null,"err":{..}}                  the last line before a connection is closed
//! ```

mod change;
mod client;
mod door;
mod frame;
mod notify;
mod place;
mod server;

pub use client::connect;
pub use door::{Door, Owning, Part, first, is_taken, keep, open, own, run};
pub use frame::{MOST_ASKED, MOST_SAID, VERSION};
pub use notify::{Notifier, unit};
pub use place::{NotReached, Place};
pub use server::{CONNECTIONS, Server};

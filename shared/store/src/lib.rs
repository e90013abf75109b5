//! Postgres. No other crate of the service contains SQL, except the lock and the migrations of
//! `functions/migrate`.
//!
//! Statements go through `pool::Connection`, not a `GenericClient`: it decides whether to prepare them.
//!
//! A statement of more than a few lines is a file, which psql can execute.
//!
//! Every call is one round trip on a pooled connection, which keeps its prepared statements; a send that is a
//! repeat or is refused takes two calls. Every call may be tried up to three times: again if the server has
//! ended its connection, although that try may have been committed, or if it lost a race.

mod blocks;
mod changes;
mod conversations;
mod database;
mod erasure;
mod events;
mod groups;
mod history;
mod pace;
mod pool;
mod query;
mod retention;
mod rows;
mod send;
mod service;
mod start;
mod tls;
mod users;

pub use blocks::{BlockRefusal, Blocked, MAX_BLOCKED};
pub use changes::{ChangeRefusal, Changed, Changes};
pub use conversations::{FindOrCreate, Head, Listed, Participation};
pub use erasure::{ExportPlace, Exported, Participated, Whereabouts};
pub use events::{Backlog, Claimant, Recorded, SetAside, Unread};
pub use groups::{Actor, ChangedGroup, GroupChange, Made, NewGroup, Participant, Refusal, Removal};
pub use history::{Found, History, Marked, Part, Place};
pub use pace::Pace;
pub use pool::{Session, Store, url_from_env};
pub use retention::Retained;
pub use send::{Sending, Sent};
pub use service::{NewConversation, ProfileChange};
pub use start::Use;

//! Postgres. No other crate contains SQL.
//!
//! A statement is sent by `Connection`, not by a `GenericClient`, since it decides how.
//!
//! A statement of more than a few lines is a file, which psql can execute.
//!
//! Every call is one round trip on a pooled connection, which keeps its prepared statements. Every statement
//! may be executed twice: if the server has ended the connection, the call is repeated on a new one, although
//! the first try may have been committed.

mod conversations;
mod database;
mod history;
mod pool;
mod rows;
mod send;
mod tls;
mod users;

pub use conversations::{Conversation, FindOrCreate, Head, Summary};
pub use database::InvalidDatabaseUrl;
pub use history::{Found, History, Marked, Part};
pub use pool::{Session, Store, url_from_env};
pub use send::{Sending, Sent};

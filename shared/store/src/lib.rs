//! Postgres: the only crate that knows SQL.
//!
//! Queries take a `Connection` of ours, not a `GenericClient`: it decides how a statement is sent.
//!
//! A statement of more than a few lines is in a `.sql` file, as psql would take it.
//!
//! Every call is one round trip on a pooled connection, whose prepared statements live as long as it does.
//! Every statement may safely run twice: when the server has ended the connection the call is repeated on a
//! fresh one, although the first try may have been committed.

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

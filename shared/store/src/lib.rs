//! Postgres: the only crate that knows SQL.
//!
//! Every call is one round trip on a pooled connection, whose prepared statements live as long as it does.
//! Every statement may safely run twice: when the server has ended the connection the call is repeated on a
//! fresh one, although the first try may have been committed.

mod conversations;
mod messages;
mod pool;
mod users;

pub use conversations::{Conversation, FindOrCreate, Head, Summary};
pub use messages::{Found, History, Part, Read, Sent};
pub use pool::{InvalidDatabaseUrl, Store};

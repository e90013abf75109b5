//! A running stack with its database, tokens and sockets: what the stories and the benchmark share.
//!
//! It knows the commands and ports of the stack, and nothing of the protocol. What cannot go on panics.

#![expect(clippy::unwrap_used, reason = "a story or a measurement that cannot go on fails")]

mod database;
mod processes;
mod socket;
mod stack;

pub use database::{Database, Server, connect};
pub use processes::{children, has_ended, raise_open_files, sockets_of, sockets_to};
pub use socket::{Refused, Socket};
pub use stack::{Pause, Stack, StackOptions, folder, run_to_end, run_to_end_with, seconds_from_now};

use std::time::Duration;

/// The time limit of everything that has to happen. Generous: only what never happens takes so long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An HTTP client whose requests fail after [`PATIENCE`]. Without a time limit, a request to a server that is
/// killed meanwhile may never end.
pub fn http_client() -> reqwest::Client {
    reqwest::Client::builder().timeout(PATIENCE).build().expect("it needs nothing")
}

/// Waits until `done` is true.
pub async fn eventually(what: &str, done: impl AsyncFn() -> bool) {
    eventually_within(PATIENCE, what, done).await;
}

/// The same with another time limit.
pub async fn eventually_within(patience: Duration, what: &str, done: impl AsyncFn() -> bool) {
    let waiting = async {
        while !done().await {
            // Polled, because a process, a log or a database sends no event when its state changes.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience, waiting).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

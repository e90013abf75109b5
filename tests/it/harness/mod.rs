//! The harness of the stories: a running stack, its users, and their clients.

pub(crate) mod callbacks;
mod client;
pub(crate) mod database;
pub(crate) mod dynamodb;
pub(crate) mod jwks;
pub(crate) mod processes;
pub(crate) mod secrets;
pub(crate) mod socket;
pub(crate) mod stack;
mod stand_in;
pub(crate) mod user;

pub(crate) use client::{Client, Frame};
pub(crate) use database::Database;
pub(crate) use processes::{children, has_ended};
pub(crate) use socket::Socket;
pub(crate) use stack::{Stack, StackOptions};
pub(crate) use user::User;

use std::time::Duration;

/// The time limit of everything that has to happen. Generous: only what never happens takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `done` is true.
pub(crate) async fn eventually(what: &str, done: impl AsyncFn() -> bool) {
    eventually_within(PATIENCE, what, done).await;
}

/// The same with another time limit.
pub(crate) async fn eventually_within(patience: Duration, what: &str, done: impl AsyncFn() -> bool) {
    let waiting = async {
        while !done().await {
            // Nothing tells when it happens.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience, waiting).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

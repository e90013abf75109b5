//! What the stories are told with: a running stack, its users, and their clients.

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

/// How long anything that has to happen may take. Generous: it is only ever reached by what never happens.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `done` says so.
pub(crate) async fn eventually(what: &str, done: impl AsyncFn() -> bool) {
    eventually_within(PATIENCE, what, done).await;
}

/// The same for what takes its time by the clock.
pub(crate) async fn eventually_within(patience: Duration, what: &str, done: impl AsyncFn() -> bool) {
    let waiting = async {
        while !done().await {
            // Nobody tells us when it happens, so we have to look.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(patience, waiting).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

//! An event to many connections, and what is learned of them on the way.

use std::time::Duration;

use bytes::Bytes;
use domain::{ConnectionId, UserId};
use protocol::Event;

use crate::connections::{Connections, unexpired};
use crate::push::{Push, logged};
use crate::table::{Item, Millis, millis, now, user_of};

/// A connection that something may be pushed to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which.
    pub connection: ConnectionId,
    /// Whose.
    pub user: UserId,
    /// When it opened, if its lease is known.
    pub(crate) opened_at: Option<Millis>,
}

impl Target {
    /// Until its `$connect` is done, a push to a connection meets 410 although it is about to open.
    fn may_be_opening(&self) -> bool {
        const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
        self.opened_at.is_some_and(|at| now() < at + millis(CONNECT_TIMEOUT))
    }
}

/// The connections in a user's item that hold an unexpired lease.
pub(crate) fn targets(item: &Item, now: Millis) -> impl Iterator<Item = Target> {
    user_of(item).into_iter().flat_map(move |user| {
        unexpired(item, now).map(move |(connection, lease)| Target {
            connection,
            user: user.clone(),
            opened_at: Some(lease.opened_at),
        })
    })
}

/// Pushes an event to all targets at once, and forgets those that are gone. Nothing that happens here fails the caller.
pub async fn deliver(connections: &Connections, push: &Push, targets: Vec<Target>, event: &Event) {
    let frame = frame(event);
    deliver_each(connections, push, targets.into_iter().map(|target| (target, frame.clone())).collect())
        .await;
}

/// The same with a frame for each.
pub async fn deliver_each(connections: &Connections, push: &Push, frames: Vec<(Target, Bytes)>) {
    for target in push.fan_out(frames).await {
        if target.may_be_opening() {
            continue;
        }
        logged(
            "forgetting a connection that is gone",
            connections.forget(&target.user, &[target.connection]).await,
        );
    }
}

/// An event as it goes to those who did not ask for it.
pub fn frame(event: &Event) -> Bytes {
    serde_json::to_vec(event).expect("an event is made of strings and numbers").into()
}

//! An event to many connections, and what is learned of them on the way.

use std::time::Duration;

use bytes::Bytes;
use domain::{ConnectionId, ConversationId, Failure, UserId};
use futures_util::future::join_all;
use protocol::Event;
use tokio::time::timeout;

use crate::connections::Connections;
use crate::push::Push;
use crate::table::{Lease, Millis, millis, now};
use crate::user_item::UserItem;

/// How long a request may be held up by what it does not depend on, besides the time limits of each part.
const BEST_EFFORT_TIMEOUT: Duration = Duration::from_secs(4);

/// A connection that something may be pushed to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which.
    pub connection: ConnectionId,
    /// Whose.
    pub user: UserId,
    /// Its lease, if that is known.
    pub(crate) lease: Option<Lease>,
    /// The conversation by which it was found.
    pub(crate) room: Option<ConversationId>,
}

impl Target {
    pub(crate) fn of_user(user: &UserId, connection: ConnectionId, lease: Lease) -> Self {
        Self { connection, user: user.clone(), lease: Some(lease), room: None }
    }

    /// Whether it opened after something had happened, whatever the clocks of two machines differ by.
    pub(crate) fn opened_after(&self, at: Millis) -> bool {
        const CLOCKS_DIFFER_BY: Millis = 100;
        self.lease.is_some_and(|lease| lease.opened_at > at + CLOCKS_DIFFER_BY)
    }

    /// Until its `$connect` is done, a push to a connection meets 410 although it is about to open.
    pub(crate) fn may_be_opening(&self) -> bool {
        const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
        self.lease.is_some_and(|lease| now() < lease.opened_at + millis(CONNECT_TIMEOUT))
    }
}

/// The connections of a user that hold an unexpired lease.
pub(crate) fn reachable(item: &UserItem, now: Millis) -> impl Iterator<Item = Target> {
    item.unexpired(now).map(|(connection, lease)| Target::of_user(&item.user, connection.clone(), *lease))
}

/// Pushes an event to all targets at once, and forgets those that are gone. Nothing that happens here fails
/// the caller.
pub async fn deliver(connections: &Connections, push: &Push, targets: Vec<Target>, event: &Event) {
    let frame = frame(event);
    deliver_each(connections, push, targets.into_iter().map(|target| (target, frame.clone())).collect())
        .await;
}

/// The same with a frame for each.
pub async fn deliver_each(connections: &Connections, push: &Push, frames: Vec<(Target, Bytes)>) {
    let gone = push.fan_out(frames).await;
    join_all(gone.iter().map(|target| forget_gone(connections, target))).await;
}

/// Closes connections whose leases have ended, after a last frame if there is one, and clears what they left.
pub async fn clear(connections: &Connections, push: &Push, ended: &[Target], last_frame: Option<String>) {
    let clearing = ended.iter().map(async |target| {
        push.hang_up(&target.connection, last_frame.iter().cloned().collect()).await;
        let cleared = connections.forget_rooms(&target.connection).await;
        logged("clearing a connection whose lease has ended", cleared);
    });
    join_all(clearing).await;
}

async fn forget_gone(connections: &Connections, target: &Target) {
    if target.may_be_opening() {
        return;
    }
    // The conversation that it was found by comes first: the connection's own item may no longer know of it.
    let forgotten = async {
        if let Some(room) = target.room {
            connections.remove_member(room, &target.connection).await?;
        }
        connections.forget(&target.user, &target.connection).await
    };
    logged("forgetting a connection that is gone", forgotten.await);
}

/// Does what a request does not depend on: a failure, or taking too long, is logged and nothing else.
pub async fn best_effort<T>(what: &'static str, work: impl Future<Output = Result<T, Failure>>) -> Option<T> {
    match timeout(BEST_EFFORT_TIMEOUT, work).await {
        Ok(done) => logged(what, done),
        Err(_) => {
            tracing::error!("{what}: took too long");
            None
        }
    }
}

fn logged<T>(what: &'static str, result: Result<T, Failure>) -> Option<T> {
    result.inspect_err(|failure| tracing::error!(cause = %failure.cause, "{what}: {failure}")).ok()
}

/// An event as it goes to those who did not ask for it.
pub fn frame(event: &Event) -> Bytes {
    serde_json::to_vec(event).expect("an event is made of strings and numbers").into()
}

//! An event to many connections, and what is learned of them on the way.

use std::time::Duration;

use bytes::Bytes;
use domain::{ConnectionId, ConversationId, Failure, UserId};
use futures_util::future::join_all;
use protocol::Event;
use tokio::time::timeout;

use crate::connections::Connections;
use crate::push::{Delivery, Push};
use crate::table::{Item, Lease, Millis, leases, millis, now, user_of};

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
    /// Until its `$connect` is done, a push to a connection meets 410 although it is about to open.
    fn may_be_opening(&self) -> bool {
        const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
        self.lease.is_some_and(|lease| now() < lease.opened_at + millis(CONNECT_TIMEOUT))
    }
}

/// The connections in a user's item, those whose leases have run out included.
pub(crate) fn targets(item: &Item) -> impl Iterator<Item = Target> {
    user_of(item).into_iter().flat_map(move |user| {
        leases(item).map(move |(connection, lease)| Target {
            connection,
            user: user.clone(),
            lease: Some(lease),
            room: None,
        })
    })
}

/// Those of them that hold an unexpired lease.
pub(crate) fn reachable(item: &Item, now: Millis) -> impl Iterator<Item = Target> {
    targets(item).filter(move |target| target.lease.is_some_and(|lease| lease.expires_at > now))
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

/// Closes connections, and forgets those that are closed then. One that could not be closed stays written
/// down.
pub async fn close_all(connections: &Connections, push: &Push, targets: &[Target]) {
    let closing = targets.iter().map(async |target| match push.close(&target.connection).await {
        Delivery::Sent => {
            let forgotten = connections.forget(&target.user, &target.connection).await;
            logged("forgetting a connection that was closed", forgotten);
        }
        Delivery::Gone => forget_gone(connections, target).await,
        Delivery::Failed => {}
    });
    join_all(closing).await;
}

/// Closes connections whose leases have ended, and clears what they left.
pub async fn clear(connections: &Connections, push: &Push, ended: &[Target]) {
    let clearing = ended.iter().map(async |target| {
        push.close(&target.connection).await;
        let cleared = connections.forget_rooms(&target.connection).await;
        logged("clearing a connection whose lease has ended", cleared);
    });
    join_all(clearing).await;
}

/// Ends leases that have run out, where that is still so, and clears what their connections left.
pub async fn clear_expired(connections: &Connections, push: &Push, expired: &[Target]) {
    let clearing = expired.iter().map(async |target| {
        if logged("ending a lease that ran out", connections.expire(target).await) == Some(true) {
            clear(connections, push, std::slice::from_ref(target)).await;
        }
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

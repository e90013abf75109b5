//! Closes connections that have lost their leases, and removes what they left in the table.

use std::time::Duration;

use domain::{ConnectionId, Contacts, Dependency, Failure, UserId};
use edge::Error;
use edge::websocket::{Closing, dismiss};
use futures_util::future::join_all;

use crate::best_effort::{best_effort, logged};
use crate::connections::Connections;
use crate::presence::Announcer;
use crate::push::Push;
use crate::target::Target;

/// The number of tries to close a connection, and the pause between them: one whose `$connect` is still
/// running cannot be closed.
const CLOSE_TRIES: usize = 13;
const CLOSE_PAUSE: Duration = Duration::from_millis(400);

/// Closes connections whose leases have ended, each by `close`, and removes what they left in the table.
pub async fn clear(
    connections: &Connections,
    ended: &[Target],
    close: impl AsyncFn(&ConnectionId) -> Closing,
) {
    let clearing = ended.iter().map(async |target| {
        close(&target.connection).await;
        forget_rooms(connections, target).await;
    });
    join_all(clearing).await;
}

/// Ends all connections of a user whose tokens were revoked `at` a second since 1970: refuses those that are
/// about to be stored, tells the others `why` and closes them, and takes the user offline. Returns how many
/// it closed.
///
/// # Errors
///
/// DynamoDB did not answer, or not as it should.
pub async fn shut_out(
    announcer: &Announcer,
    user: &UserId,
    at: i64,
    contacts: &Contacts,
    why: &Error,
) -> Result<usize, Failure> {
    let connections = &announcer.connections;
    let ended = connections.revoke(user, at).await?;
    let tried = join_all(ended.iter().map(|target| close(&announcer.push, target, why))).await;
    let closed: Vec<_> = ended
        .iter()
        .zip(&tried)
        .filter(|(_, is_closed)| **is_closed)
        .map(|(target, _)| target.clone())
        .collect();
    // The others keep their leases, so that a repeat finds them.
    let departed = connections.have_closed(user, &closed).await?;
    tokio::join!(
        join_all(closed.iter().map(|target| forget_rooms(connections, target))),
        best_effort("announcing that a user is offline", announcer.announce(departed.unannounced, contacts)),
    );
    match closed.len() == ended.len() {
        true => Ok(closed.len()),
        false => Err(Failure::unavailable(Dependency::Callbacks, "not every connection could be closed")),
    }
}

/// Closes a connection. Returns whether it is closed.
async fn close(push: &Push, target: &Target, why: &Error) -> bool {
    for attempt in 0..CLOSE_TRIES {
        if attempt > 0 {
            tokio::time::sleep(CLOSE_PAUSE).await;
        }
        match dismiss(push, &target.connection, why).await {
            Closing::Closed => return true,
            Closing::Gone if !target.may_be_opening() => return true,
            Closing::Gone => {}
            Closing::Failed => return false,
        }
    }
    // Its `$connect` has failed, or it was closed meanwhile.
    true
}

async fn forget_rooms(connections: &Connections, target: &Target) {
    let cleared = connections.forget_rooms(&target.connection).await;
    logged("clearing a connection whose lease has ended", cleared);
}

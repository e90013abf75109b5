//! Pushes of an event to many connections. A connection that turns out to be gone is forgotten.

use bytes::Bytes;
use domain::{ConnectionId, Failure, Participants};
use futures_util::future::join_all;
use protocol::Event;

use crate::best_effort::logged;
use crate::connections::Connections;
use crate::push::Push;
use crate::target::Target;

/// Pushes an event to the connections of the participants of a conversation, `except` one.
///
/// # Errors
///
/// DynamoDB does not say which connections the participants have.
pub async fn tell_participants(
    connections: &Connections,
    push: &Push,
    participants: &Participants,
    except: Option<&ConnectionId>,
    event: &Event,
) -> Result<(), Failure> {
    let users: Vec<_> = participants.iter().cloned().collect();
    let targets = connections.connections_of(&users).await?;
    let frame = frame(event);
    let others = targets.into_iter().filter(|target| Some(&target.connection) != except);
    deliver(connections, push, others.map(|target| (target, frame.clone())).collect()).await;
    Ok(())
}

/// Pushes all frames at once, and forgets the targets that are gone. No failure reaches the caller.
pub async fn deliver(connections: &Connections, push: &Push, frames: Vec<(Target, Bytes)>) {
    let gone = push.fan_out(frames).await;
    join_all(gone.iter().map(|target| forget(connections, target))).await;
}

async fn forget(connections: &Connections, target: &Target) {
    if target.may_be_opening() {
        return;
    }
    let forgotten = async {
        // First the conversation that it was found in: the connection's own item may not list it any more.
        if let Some(room) = target.room {
            connections.remove_member(room, &target.connection).await?;
        }
        connections.forget(&target.user, &target.connection).await
    };
    logged("forgetting a connection that is gone", forgotten.await);
}

/// The frame that pushes an event.
pub fn frame(event: &Event) -> Bytes {
    serde_json::to_vec(event).expect("an event is made of strings and numbers").into()
}

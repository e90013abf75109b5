//! Pushes of an event to many connections. A connection that turns out to be gone is forgotten.

use std::collections::HashMap;

use bytes::Bytes;
use domain::{ConnectionId, ConversationId, Failure, Listeners, RosterChange, UserId};
use futures_util::future::join_all;
use protocol::{Event, Message, RoleOf};

use crate::best_effort::logged;
use crate::connections::Connections;
use crate::push::Push;
use crate::rooms::Audience;
use crate::target::Target;

/// Pushes an event to the connections of users, `except` one.
///
/// # Errors
///
/// DynamoDB does not say which connections the users have.
pub async fn tell(
    connections: &Connections,
    push: &Push,
    users: &[UserId],
    except: Option<&ConnectionId>,
    event: &Event,
) -> Result<(), Failure> {
    let mut targets = connections.connections_of(users).await?;
    targets.retain(|target| Some(&target.connection) != except);
    deliver(connections, push, to_all(targets, event)).await;
    Ok(())
}

/// Pushes an event to those who listen to a conversation, and to all connections of some users besides.
///
/// # Errors
///
/// DynamoDB does not say which connections there are.
pub async fn tell_listeners(
    connections: &Connections,
    push: &Push,
    conversation: ConversationId,
    listeners: &Listeners,
    besides: &[UserId],
    event: &Event,
) -> Result<(), Failure> {
    let mut users = besides.to_vec();
    if let Listeners::Participants(participants) = listeners {
        users.extend(participants.iter().filter(|user| !besides.contains(user)).cloned());
    }
    let joined = async {
        match listeners {
            Listeners::Participants(_) => Ok(Vec::new()),
            Listeners::Joined => connections.rooms(conversation).await,
        }
    };
    let (mut targets, own) = tokio::try_join!(joined, connections.connections_of(&users))?;
    targets.retain(|target| !users.contains(&target.user));
    targets.extend(own);
    deliver(connections, push, to_all(targets, event)).await;
    Ok(())
}

/// Pushes a change of the participants of a conversation, also to those who were added or removed.
///
/// # Errors
///
/// As [`tell_listeners`].
pub async fn tell_roster_change(
    connections: &Connections,
    push: &Push,
    conversation_id: ConversationId,
    change: RosterChange,
) -> Result<(), Failure> {
    let RosterChange { added, removed, roles, participant_count, last_change, listeners } = change;
    let concerned = [added.as_slice(), &removed].concat();
    let event = Event::ParticipantsChanged {
        conversation_id,
        added,
        removed,
        roles: roles.into_iter().map(|(user_id, role)| RoleOf { user_id, role }).collect(),
        participant_count,
        last_change,
    };
    tell_listeners(connections, push, conversation_id, &listeners, &concerned, &event).await
}

/// The latest message of a conversation, and how many messages of it each participant has not read.
#[derive(Clone, Copy, Debug)]
pub struct Latest<'a> {
    /// The message.
    pub message: &'a Message,
    /// The counts; 0 for whoever is missing.
    pub unread_counts: &'a HashMap<UserId, i64>,
}

/// The frames that tell of a message: `event` for the connections that joined the conversation. If the
/// message is the latest, the others get the new state of the conversation, one frame per user.
pub fn message_frames(audience: Audience, event: &Event, latest: Option<Latest<'_>>) -> Vec<(Target, Bytes)> {
    let mut frames = to_all(audience.joined, event);
    let Some(Latest { message, unread_counts }) = latest else { return frames };
    let mut of_users = HashMap::new();
    frames.extend(audience.others.into_iter().map(|target| {
        let frame = of_users.entry(target.user.clone()).or_insert_with_key(|user| {
            frame(&Event::ConversationUpdated {
                conversation_id: message.conversation_id,
                last_message: message.clone(),
                last_seq: message.seq,
                unread_count: unread_counts.get(user).copied().unwrap_or(0),
            })
        });
        (target, frame.clone())
    }));
    frames
}

fn to_all(targets: Vec<Target>, event: &Event) -> Vec<(Target, Bytes)> {
    let frame = frame(event);
    targets.into_iter().map(|target| (target, frame.clone())).collect()
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

//! The message is committed before anything is pushed. From then on the send is a success, whatever becomes
//! of the pushes: the sender gets the message, and a receiver who missed the push sees a gap in `seq`.

use std::collections::HashMap;

use bytes::Bytes;
use domain::{MessageId, NewMessage, UserId};
use edge::Error;
use edge::websocket::{Caller, Reply};
use protocol::{Event, Message, SendMessage};
use realtime::{Connections, Push, Target, after_commit, deliver, frame};
use store::{Sending, Sent, Store};

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) push: Push,
    /// How many messages a user may send in a minute; 0 for any number.
    pub(crate) max_per_minute: u32,
}

pub(crate) async fn handle(state: &State, caller: &Caller, frame: SendMessage) -> Result<Reply, Error> {
    let new = NewMessage {
        id: MessageId::new(),
        conversation_id: frame.conversation_id,
        sender_id: caller.user_id.clone(),
        content: frame.content,
        client_message_id: frame.client_message_id,
    };
    let sent = match state.store.send_message(&new, state.max_per_minute).await? {
        Sending::Sent(sent) => sent,
        Sending::NotAParticipant => return Err(Error::not_a_participant()),
        Sending::TooMany { retry_after } => {
            let message = format!("{} messages a minute are enough: wait a little", state.max_per_minute);
            return Err(Error::rate_limited(message, retry_after));
        }
    };
    let Sent { message, listeners, unread_counts, counts_are_outdated, is_latest } = *sent;
    let message = Message::from(message);
    let pushed = after_commit("pushing a message", async {
        let conversation = message.conversation_id;
        let newer_counts = async {
            match counts_are_outdated {
                true => state.store.unread_counts_of(conversation, unread_counts.keys()).await.ok(),
                false => None,
            }
        };
        let (audience, newer_counts) = tokio::join!(
            state.connections.audience(conversation, &listeners, &caller.user_id, message.seq),
            newer_counts,
        );
        let (audience, unread_counts) = (audience?, newer_counts.as_ref().unwrap_or(&unread_counts));
        let knows_sender = audience.knows(&caller.connection_id);
        let mut frames = to_joined(&message, audience.joined);
        if is_latest {
            // A repeat of an older message changes nothing for these.
            frames.extend(to_others(&message, audience.others, unread_counts));
        }
        frames.retain(|(target, _)| target.connection != caller.connection_id);
        deliver(&state.connections, &state.push, frames).await;
        Ok(knows_sender)
    });
    let knows_sender = pushed.await;
    let event = Event::NewMessage(message);
    Ok(if knows_sender == Some(false) { Reply::Last(event) } else { Reply::Event(event) })
}

/// The frames for the connections that joined the conversation: the message.
fn to_joined(message: &Message, targets: Vec<Target>) -> Vec<(Target, Bytes)> {
    let frame = frame(&Event::NewMessage(message.clone()));
    targets.into_iter().map(|target| (target, frame.clone())).collect()
}

/// The frames for the participants' other connections: the new state of the conversation, one frame per user.
fn to_others(
    message: &Message,
    targets: Vec<Target>,
    unread_counts: &HashMap<UserId, i64>,
) -> Vec<(Target, Bytes)> {
    let mut frames = HashMap::new();
    let framed = targets.into_iter().map(|target| {
        let frame = frames.entry(target.user.clone()).or_insert_with_key(|user| {
            frame(&Event::ConversationUpdated {
                conversation_id: message.conversation_id,
                last_message: message.clone(),
                last_seq: message.seq,
                unread_count: unread_counts.get(user).copied().unwrap_or(0),
            })
        });
        (target, frame.clone())
    });
    framed.collect()
}

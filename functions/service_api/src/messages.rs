//! Messages: sent in the name of a participant, and deleted by moderators.

use std::collections::HashMap;

use domain::{Listeners, MessageChange, MessageId, NewMessage, UserId};
use edge::Error;
use edge::http::StatusCode;
use protocol::{Event, Message};
use realtime::{Latest, after_commit, deliver, message_frames};
use store::{ChangeRefusal, Sending, Sent};

use crate::answer::Answer;
use crate::conversations::no_such_conversation;
use crate::state::State;

pub(crate) async fn send(state: &State, new: &NewMessage) -> Result<(StatusCode, Answer), Error> {
    let sent = match state.store.send_message(new, 0).await? {
        Sending::Sent(sent) => sent,
        Sending::NotAParticipant => {
            // Only a refusal costs another round trip.
            state.store.outline_of(new.conversation_id).await?.ok_or_else(no_such_conversation)?;
            return Err(Error::invalid_request("senderId: this user does not take part in the conversation"));
        }
        Sending::Closed => return Err(Error::conversation_closed("conversationId")),
        Sending::NoSuchReplyTo => {
            return Err(Error::invalid_request(
                "replyTo: no message of this conversation that the sender sees has this id",
            ));
        }
        Sending::TooMany { .. } => unreachable!("there is no limit"),
    };
    let Sent { message, listeners, mut unread_counts, counts_are_outdated, is_latest } = *sent;
    if counts_are_outdated {
        let newer = state.store.unread_counts_of(new.conversation_id, unread_counts.keys()).await;
        unread_counts = newer.unwrap_or(unread_counts);
    }
    let status = if message.id == new.id { StatusCode::CREATED } else { StatusCode::OK };
    let message = Message::from(message);
    let event = Event::NewMessage(message.clone());
    tell(state, &event, &message, &listeners, is_latest.then_some(&unread_counts)).await;
    Ok((status, Answer::Message(Box::new(message))))
}

pub(crate) async fn delete(state: &State, id: MessageId) -> Result<(StatusCode, Answer), Error> {
    let deleted = state.store.change_message(id, None, &MessageChange::Delete, 0).await?;
    let deleted = deleted.map_err(|refusal| match refusal {
        ChangeRefusal::NoSuchMessage => Error::not_found("messageId: there is no such message"),
        refusal => unreachable!("the service may delete every message: {refusal:?}"),
    })?;
    let message = Message::from(deleted.message);
    if deleted.is_new {
        let event = Event::MessageChanged { message: message.clone(), change: message.change };
        let latest = deleted.is_latest.then_some(&deleted.unread_counts);
        tell(state, &event, &message, &deleted.listeners, latest).await;
    }
    Ok((StatusCode::OK, Answer::Message(Box::new(message))))
}

/// Pushes an event of a message to those who see it. If it is the latest, also to those who have not joined,
/// with what each of them has not read.
async fn tell(
    state: &State,
    event: &Event,
    message: &Message,
    listeners: &Listeners,
    unread_counts: Option<&HashMap<UserId, i64>>,
) {
    let (connections, push) = (&state.announcer.connections, &state.announcer.push);
    let telling = async {
        let (conversation, sender) = (message.conversation_id, &message.sender_id);
        let audience = connections.audience(conversation, listeners, sender, message.seq).await?;
        let latest = unread_counts.map(|unread_counts| Latest { message, unread_counts });
        deliver(connections, push, message_frames(audience, event, latest)).await;
        Ok(())
    };
    let pushed = after_commit("pushing a message", telling);
    tokio::join!(pushed, state.deliveries.start(Some(message.conversation_id)));
}

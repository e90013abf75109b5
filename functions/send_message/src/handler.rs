//! The message is committed before anything is pushed. From then on the send is a success, whatever becomes
//! of the pushes: the sender gets the message, and a receiver who missed the push sees a gap in `seq`.

use aws::Deliveries;
use domain::{MessageId, NewMessage};
use edge::Error;
use edge::websocket::{Caller, Reply};
use protocol::{Event, Message, SendMessage};
use realtime::{Connections, Latest, Push, after_commit, deliver, message_frames};
use store::{Sending, Sent, Store};

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) push: Push,
    pub(crate) deliveries: Deliveries,
    /// How many messages a user may send and change in a minute; 0 for any number.
    pub(crate) max_per_minute: u32,
}

pub(crate) async fn handle(state: &State, caller: &Caller, frame: SendMessage) -> Result<Reply, Error> {
    let new = NewMessage {
        id: MessageId::new(),
        conversation_id: frame.conversation_id,
        sender_id: caller.user_id.clone(),
        content: frame.content,
        client_message_id: frame.client_message_id,
        reply_to: frame.reply_to,
        metadata: frame.metadata,
    };
    let sent = match state.store.send_message(&new, state.max_per_minute).await? {
        Sending::Sent(sent) => sent,
        Sending::NotAParticipant => return Err(Error::not_a_participant()),
        Sending::Closed => return Err(Error::conversation_closed("conversationId")),
        Sending::NoSuchReplyTo => {
            return Err(Error::invalid_request(
                "replyTo: no message of this conversation that you see has this id",
            ));
        }
        Sending::TooMany { retry_after } => {
            let message = format!("{} messages a minute are enough: wait a little", state.max_per_minute);
            return Err(Error::rate_limited(message, retry_after));
        }
    };
    let Sent { message, listeners, unread_counts, counts_are_outdated, is_latest } = *sent;
    let message = Message::from(message);
    let event = Event::NewMessage(message.clone());
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
        // A repeat of an older message changes nothing for those who have not joined.
        let latest = is_latest.then_some(Latest { message: &message, unread_counts });
        let mut frames = message_frames(audience, &event, latest);
        frames.retain(|(target, _)| target.connection != caller.connection_id);
        deliver(&state.connections, &state.push, frames).await;
        Ok(knows_sender)
    });
    let (knows_sender, ()) = tokio::join!(pushed, state.deliveries.start(Some(message.conversation_id)));
    Ok(if knows_sender == Some(false) { Reply::Last(event) } else { Reply::Event(event) })
}

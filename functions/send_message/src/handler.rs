//! The message is committed before anyone is told. From then on the send is a success: whatever becomes of
//! the pushes, the sender is answered with the message, and a receiver who missed it sees the gap in `seq`.

use domain::{Failure, MessageId, NewMessage};
use edge::Error;
use edge::websocket::Caller;
use protocol::{Event, SendMessage};
use realtime::{Connections, Push, best_effort, deliver_each, frame};
use store::{Sending, Sent, Store};

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) push: Push,
    /// How many messages a user may send in a minute; 0 for any number.
    pub(crate) max_per_minute: u32,
}

pub(crate) async fn handle(state: &State, caller: &Caller, frame: SendMessage) -> Result<Event, Error> {
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
    let told = best_effort("telling the others of a message", tell(state, caller, &sent)).await;
    let event = Event::NewMessage(sent.message.into());
    match told {
        Some(Sender::Unknown) => Err(Error::connection_lost().after(event)),
        Some(Sender::Known) | None => Ok(event),
    }
}

/// Whether the connection that sent is still written down.
enum Sender {
    Known,
    Unknown,
}

/// The connections that joined get the message, except the sending one, which gets it as its answer; the
/// participants' others get to know that there is one. A repeat of a message that is not the latest any more
/// would tell those nothing new.
async fn tell(state: &State, caller: &Caller, sent: &Sent) -> Result<Sender, Failure> {
    let message = protocol::Message::from(sent.message.clone());
    let audience = state.connections.audience(message.conversation_id, &sent.participants).await?;
    let sender = if audience.knows(&caller.connection_id) { Sender::Known } else { Sender::Unknown };
    let new_message = frame(&Event::NewMessage(message.clone()));
    let joined = audience.joined.into_iter().map(|target| (target, new_message.clone()));
    let updated = audience.others.into_iter().filter(|_| sent.is_latest).map(|target| {
        let event = Event::ConversationUpdated {
            conversation_id: message.conversation_id,
            last_seq: message.seq,
            unread_count: sent.unread_count(&target.user),
            last_message: message.clone(),
        };
        (target, frame(&event))
    });
    let frames =
        joined.chain(updated).filter(|(target, _)| target.connection != caller.connection_id).collect();
    deliver_each(&state.connections, &state.push, frames).await;
    Ok(sender)
}

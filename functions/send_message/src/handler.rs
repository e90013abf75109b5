//! The message is committed before anyone is told. From then on the send is a success: whatever becomes of the pushes, the
//! sender is answered with the message, and a receiver who missed it sees the gap in `seq`.

use domain::{Failure, MessageId, NewMessage, Participants};
use edge::Error;
use edge::websocket::Caller;
use protocol::{Event, SendMessage};
use realtime::{Connections, Push};
use store::Store;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) push: Push,
}

pub(crate) async fn handle(state: &State, caller: &Caller, frame: SendMessage) -> Result<Event, Error> {
    let new = NewMessage {
        id: MessageId::new(),
        conversation_id: frame.conversation_id,
        sender_id: caller.user_id.clone(),
        content: frame.content,
        client_message_id: frame.client_message_id,
    };
    let sent = state.store.send_message(&new).await?.ok_or_else(Error::not_a_participant)?;
    let event = Event::NewMessage(sent.message.into());
    if let Err(failure) = tell(state, caller, &new, &sent.participants, &event).await {
        Error::from(failure).log();
    }
    Ok(event)
}

/// Pushes the message to the connections that joined, except the sending one, which gets it as its answer.
async fn tell(
    state: &State,
    caller: &Caller,
    new: &NewMessage,
    participants: &Participants,
    event: &Event,
) -> Result<(), Failure> {
    let audience = state.connections.audience(new.conversation_id, participants).await?;
    let joined = audience.joined.iter().map(|(connection, _)| connection);
    let others = joined.filter(|connection| **connection != caller.connection_id).cloned().collect();
    let frame = serde_json::to_vec(event).expect("an event is made of strings and numbers");
    let gone = state.push.fan_out(others, frame.into()).await;
    state.connections.prune(&audience, &gone).await
}

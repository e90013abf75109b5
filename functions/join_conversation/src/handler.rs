//! The participant check comes first. A message that is stored after it and before the join is written down is not pushed to
//! this connection; the next one shows the gap in `seq`.

use edge::Error;
use edge::websocket::Caller;
use protocol::{Event, JoinConversation};
use realtime::{Connections, Joined};
use store::Store;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
}

pub(crate) async fn handle(state: &State, caller: &Caller, frame: JoinConversation) -> Result<Event, Error> {
    let conversation_id = frame.conversation_id;
    let conversation = state
        .store
        .conversation_of(conversation_id, &caller.user_id)
        .await?
        .ok_or_else(Error::not_a_participant)?;
    let (joined, online_user_ids) = tokio::try_join!(
        state.connections.join(&caller.user_id, &caller.connection_id, conversation_id),
        state.connections.online(conversation.participants.iter()),
    )?;
    match joined {
        Joined::Joined => Ok(Event::JoinedConversation {
            conversation_id,
            last_seq: conversation.last_seq,
            online_user_ids,
        }),
        Joined::TooMany => Err(Error::invalid_request(
            "conversationId: this connection has joined 100 conversations already: leave one first",
        )),
        Joined::NotConnected => Err(Error::connection_lost()),
    }
}

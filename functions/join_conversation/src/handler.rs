//! First the participant check, then the join. A message that is stored between the two is pushed to this
//! connection as `conversation_updated`, whose `lastSeq` shows the gap.

use domain::UserId;
use edge::Error;
use edge::websocket::{Caller, Reply};
use protocol::{Event, JoinConversation};
use realtime::{Connections, Joined, MAX_JOINED};
use store::Store;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
}

pub(crate) async fn handle(state: &State, caller: &Caller, frame: JoinConversation) -> Result<Reply, Error> {
    let conversation_id = frame.conversation_id;
    let conversation = state
        .store
        .conversation_of(conversation_id, &caller.user_id)
        .await?
        .ok_or_else(Error::not_a_participant)?;
    let participants: Vec<_> = conversation.participants.iter().cloned().collect();
    let (joined, presence) = tokio::try_join!(
        state.connections.join(&caller.user_id, &caller.connection_id, conversation_id),
        state.connections.presence(&participants),
    )?;
    match joined {
        Joined::Joined => {
            // The caller is online, whatever their lease says: they have just sent this frame.
            let online = |user: &UserId| {
                *user == caller.user_id || presence.get(user).is_some_and(|presence| presence.online)
            };
            let online_user_ids = participants.iter().filter(|user| online(user)).cloned().collect();
            let last_seq = conversation.last_seq;
            Ok(Reply::Event(Event::JoinedConversation { conversation_id, last_seq, online_user_ids }))
        }
        Joined::TooMany => Err(Error::invalid_request(format!(
            "conversationId: this connection has joined {MAX_JOINED} conversations already: leave one first",
        ))),
        Joined::NotConnected => Err(Error::connection_lost()),
    }
}

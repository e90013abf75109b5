//! Postgres is asked twice whether the caller takes part: before the join, so that a stranger is in the room at no
//! time; and after it, since a removal may have come between the two. A removal commits and then empties the
//! room, so whoever is in the room before the second answer is either refused by it or taken out by the removal.

use domain::{Listeners, UserId};
use edge::Error;
use edge::websocket::{Caller, Reply};
use protocol::{Event, JoinConversation};
use realtime::{Connections, Joined, MAX_JOINED};
use store::Store;

/// The number of tries, each of which failed because the user was removed and added again meanwhile.
const TRIES: usize = 3;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
}

pub(crate) async fn handle(state: &State, caller: &Caller, frame: JoinConversation) -> Result<Reply, Error> {
    let State { store, connections } = state;
    let Caller { user_id, connection_id, .. } = caller;
    let conversation_id = frame.conversation_id;
    let mut before =
        store.participation_of(conversation_id, user_id).await?.ok_or_else(Error::not_a_participant)?;
    for _ in 0..TRIES {
        let participants = match &before.listeners {
            Listeners::Participants(users) => users.as_slice(),
            Listeners::Joined => &[],
        };
        let (joined, presence) = tokio::try_join!(
            connections.join(user_id, connection_id, conversation_id, &before.listeners, before.first_seq),
            connections.presence(participants),
        )?;
        match joined {
            Joined::Joined => {}
            Joined::TooMany => {
                return Err(Error::invalid_request(format!(
                    "conversationId: this connection has joined {MAX_JOINED} conversations already: leave one \
                        first",
                )));
            }
            Joined::NotConnected => return Err(Error::connection_lost()),
        }
        let after = match store.participation_of(conversation_id, user_id).await {
            Ok(Some(after)) => after,
            refused => {
                connections.leave(connection_id, conversation_id).await?;
                return Err(refused.err().map_or_else(Error::not_a_participant, Error::from));
            }
        };
        if after.first_seq != before.first_seq {
            before = after;
            continue;
        }
        // The caller is online, whatever their lease says: they have just sent this frame.
        let online = |user: &UserId| presence.get(user).is_some_and(|presence| presence.online);
        let others = participants.iter().filter(|user| *user != user_id && online(user)).cloned();
        return Ok(Reply::Event(Event::JoinedConversation {
            conversation_id,
            last_seq: after.last_seq,
            last_change: after.last_change,
            online_user_ids: others.chain([user_id.clone()]).collect(),
        }));
    }
    connections.leave(connection_id, conversation_id).await?;
    Err(Error::not_a_participant())
}

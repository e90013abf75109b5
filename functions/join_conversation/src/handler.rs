//! Postgres is asked twice whether the caller takes part: before the join, so that a stranger is in the room at
//! no time; and after it, since a removal may have come between the two. A removal commits and then empties the
//! room, so whoever is in the room before the second answer is either refused by it or taken out by the removal.

use std::collections::HashMap;

use domain::{ConversationId, Listeners, UserId};
use edge::Error;
use edge::websocket::{Caller, Reply};
use protocol::{Event, JoinConversation};
use realtime::{Connections, Joined, MAX_JOINED, Membership, Presence, best_effort};
use store::{Participation, Store};

/// The number of tries, each of which fails if the user is removed and added again meanwhile.
const TRIES: usize = 3;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
}

pub(crate) async fn handle(state: &State, caller: &Caller, frame: JoinConversation) -> Result<Reply, Error> {
    let conversation_id = frame.conversation_id;
    for _ in 0..TRIES {
        let before = participation(state, caller, conversation_id).await?;
        match join(state, caller, conversation_id, &before).await {
            // The same as before, or removed and added again.
            Ok((presence, after)) if after.joined_at == before.joined_at => {
                return Ok(Reply::Event(Event::JoinedConversation {
                    conversation_id,
                    last_seq: after.last_seq,
                    last_change: after.last_change,
                    online_user_ids: online(&caller.user_id, &before.listeners, &presence),
                }));
            }
            Ok(_) => {}
            Err(error) => {
                // It may have entered the room, although it was not answered.
                let leaving = state.connections.leave(&caller.connection_id, conversation_id);
                best_effort("leaving a room", leaving).await;
                return Err(error);
            }
        }
    }
    Err(Error::unavailable())
}

async fn participation(state: &State, caller: &Caller, id: ConversationId) -> Result<Participation, Error> {
    let found = state.store.participation_of(id, &caller.user_id).await?;
    found.ok_or_else(Error::not_a_participant)
}

/// Enters the room, and asks again.
async fn join(
    state: &State,
    caller: &Caller,
    id: ConversationId,
    before: &Participation,
) -> Result<(HashMap<UserId, Presence>, Participation), Error> {
    let Participation { listeners, first_seq, roster, .. } = before;
    let membership = Membership { listeners, first_seq: *first_seq, roster: *roster };
    let participants = match listeners {
        Listeners::Participants(users) => users.as_slice(),
        Listeners::Joined => &[],
    };
    let (joined, presence) = tokio::join!(
        state.connections.join(&caller.user_id, &caller.connection_id, id, &membership),
        state.connections.presence(participants),
    );
    match joined? {
        Joined::Joined => Ok((presence?, participation(state, caller, id).await?)),
        Joined::TooMany => Err(Error::invalid_request(format!(
            "conversationId: this connection has joined {MAX_JOINED} conversations already: leave one first",
        ))),
        Joined::NotConnected => Err(Error::connection_lost()),
    }
}

/// The participants who are online. The caller is, whatever their lease says: they have just sent a frame. Those of
/// a large conversation are too many to look at.
fn online(caller: &UserId, listeners: &Listeners, presence: &HashMap<UserId, Presence>) -> Vec<UserId> {
    let is_online = |user: &UserId| user == caller || presence.get(user).is_some_and(|of| of.online);
    match listeners {
        Listeners::Participants(users) => users.iter().filter(|user| is_online(user)).cloned().collect(),
        Listeners::Joined => vec![caller.clone()],
    }
}

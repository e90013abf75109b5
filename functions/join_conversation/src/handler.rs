//! Postgres is asked twice whether the caller takes part: before the join, so that a stranger is never in the
//! room; and after it, since a removal may have come between the two. A removal commits and then takes the
//! connections of the user out of the room, so whoever is in the room before the second answer is either
//! refused by it or taken out by the removal.

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
    let State { connections, .. } = state;
    let Caller { user_id, connection_id, .. } = caller;
    let conversation_id = frame.conversation_id;
    for _ in 0..TRIES {
        let before = participation(state, user_id, conversation_id).await?;
        let Participation { listeners, first_seq, roster, apart, .. } = &before;
        let membership = Membership { listeners, first_seq: *first_seq, roster: *roster, apart };
        let participants = match listeners {
            Listeners::Participants(users) => users.as_slice(),
            Listeners::Joined => &[],
        };
        let (joined, presence) = tokio::join!(
            connections.join(user_id, connection_id, conversation_id, &membership),
            connections.presence(participants),
        );
        match joined {
            Ok(Joined::TooMany) => {
                return Err(Error::invalid_request(format!(
                    "conversationId: this connection has joined {MAX_JOINED} conversations already: leave \
                        one first",
                )));
            }
            Ok(Joined::NotConnected) => return Err(Error::connection_lost()),
            // Without an answer it may be in the room all the same.
            Ok(Joined::Joined) | Err(_) => {}
        }
        let confirmed = async {
            joined?;
            Ok((presence?, participation(state, user_id, conversation_id).await?))
        };
        match confirmed.await {
            Ok((presence, after)) if after.joined_at == before.joined_at && after.apart == before.apart => {
                return Ok(Reply::Event(Event::JoinedConversation {
                    conversation_id,
                    last_seq: after.last_seq,
                    last_change: after.last_change,
                    online_user_ids: online(user_id, &before, &presence),
                }));
            }
            // The user was removed and added again, and that removal may still empty the room. Or a block was
            // made or ended, and that may have found the room without the user.
            Ok(_) => {}
            Err(error) => {
                step_back(state, caller, conversation_id).await;
                return Err(error);
            }
        }
    }
    step_back(state, caller, conversation_id).await;
    Err(Error::unavailable())
}

async fn participation(state: &State, user: &UserId, id: ConversationId) -> Result<Participation, Error> {
    let found = state.store.participation_of(id, user).await?.ok_or_else(Error::not_a_participant)?;
    match found.is_blocked {
        true => Err(Error::conversation_closed("conversationId")),
        false => Ok(found),
    }
}

async fn step_back(state: &State, caller: &Caller, id: ConversationId) {
    best_effort("leaving a room", state.connections.leave(&caller.connection_id, id)).await;
}

/// The participants who are online, without those who are apart from the caller. The caller is, whatever
/// their lease says: they have just sent a frame. Those of a large conversation are too many to look at.
fn online(
    caller: &UserId,
    participation: &Participation,
    presence: &HashMap<UserId, Presence>,
) -> Vec<UserId> {
    let is_online = |user: &UserId| {
        let shown = presence.get(user).filter(|_| !participation.apart.contains(user));
        user == caller || shown.is_some_and(|of| of.online)
    };
    match &participation.listeners {
        Listeners::Participants(users) => users.iter().filter(|user| is_online(user)).cloned().collect(),
        Listeners::Joined => vec![caller.clone()],
    }
}

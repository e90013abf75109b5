//! The change is committed before it is pushed. `message_changed` goes to those to whom `new_message` would
//! go. If the message is the latest, the participants who have not joined get `conversation_updated`.
//! Whatever becomes of the pushes, the change has happened: a client that misses one sees a gap in `change`.

use aws::Deliveries;
use domain::{MAX_REACTIONS, MessageChange};
use edge::Error;
use edge::websocket::{Caller, Reply};
use protocol::{ChangeMessage, Event, Message};
use realtime::{Connections, Latest, Push, after_commit, best_effort, deliver, message_frames};
use store::{ChangeRefusal, Changed, Store};

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) push: Push,
    pub(crate) deliveries: Deliveries,
    /// How many messages a user may send and change in a minute; 0 for any number.
    pub(crate) max_per_minute: u32,
}

pub(crate) async fn handle(state: &State, caller: &Caller, frame: ChangeMessage) -> Result<Reply, Error> {
    let ChangeMessage { message_id, change } = frame;
    let user_id = &caller.user_id;
    let changed =
        state.store.change_message(message_id, Some(user_id), &change, state.max_per_minute).await?;
    let changed = changed.map_err(|refusal| refused(state, &change, refusal))?;
    let (event, knows_caller) = match changed.is_new {
        true => tell(state, caller, changed).await,
        false => {
            let known = state.connections.knows(user_id, &caller.connection_id);
            let known = best_effort("looking up the connection", known).await;
            (event(Message::from(changed.message)), known)
        }
    };
    Ok(if knows_caller == Some(false) { Reply::Last(event) } else { Reply::Event(event) })
}

/// Pushes a change. Returns its event, and whether the table has the connection of the caller, if that is
/// known.
async fn tell(state: &State, caller: &Caller, changed: Changed) -> (Event, Option<bool>) {
    let Changed { message, listeners, unread_counts, is_latest, .. } = changed;
    let message = Message::from(message);
    let event = event(message.clone());
    let pushed = after_commit("pushing a change of a message", async {
        let connections = &state.connections;
        let (conversation, seq) = (message.conversation_id, message.seq);
        let audience = connections.audience(conversation, &listeners, &caller.user_id, seq).await?;
        let knows_caller = audience.knows(&caller.connection_id);
        let latest = is_latest.then_some(Latest { message: &message, unread_counts: &unread_counts });
        let mut frames = message_frames(audience, &event, latest);
        frames.retain(|(target, _)| target.connection != caller.connection_id);
        deliver(connections, &state.push, frames).await;
        Ok(knows_caller)
    });
    let (knows_caller, ()) = tokio::join!(pushed, state.deliveries.start(Some(message.conversation_id)));
    (event, knows_caller)
}

fn event(message: Message) -> Event {
    let change = message.change;
    Event::MessageChanged { message, change }
}

fn refused(state: &State, change: &MessageChange, refusal: ChangeRefusal) -> Error {
    match refusal {
        ChangeRefusal::NoSuchMessage => Error::forbidden("messageId: no message that you see has this id"),
        ChangeRefusal::NotAllowed => Error::forbidden(match change {
            MessageChange::Edit { .. } => "messageId: only its sender may edit a message",
            _ => "messageId: only its sender or an owner of the group may delete a message",
        }),
        ChangeRefusal::Closed => Error::conversation_closed("messageId"),
        ChangeRefusal::Deleted => Error::invalid_request("messageId: this message is deleted"),
        ChangeRefusal::TooManyReactions => {
            Error::invalid_request(format!("reaction: a message has at most {MAX_REACTIONS} different ones"))
        }
        ChangeRefusal::TooMany { retry_after } => {
            let limit = state.max_per_minute;
            let message = format!("{limit} messages and changes a minute are enough: wait a little");
            Error::rate_limited(message, retry_after)
        }
    }
}

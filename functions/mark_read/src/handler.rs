//! If messages of others were unread, `messages_read` is pushed: in a conversation of two to the other
//! connections of both, in a group to those of the reader.

use edge::Error;
use edge::websocket::{Caller, Reply};
use protocol::{Event, MarkRead};
use realtime::{Connections, Push, after_commit, tell};
use store::Store;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) push: Push,
}

pub(crate) async fn handle(state: &State, caller: &Caller, frame: MarkRead) -> Result<Reply, Error> {
    let State { store, connections, push } = state;
    let Caller { user_id, connection_id, .. } = caller;
    let (marked, known) = tokio::join!(
        store.mark_read(frame.conversation_id, user_id, frame.up_to_seq.map(Into::into)),
        connections.knows(user_id, connection_id),
    );
    let marked = marked?.ok_or_else(Error::not_a_participant)?;
    let event = Event::from(marked.read);
    if marked.changed {
        let told = tell(connections, push, &marked.told, Some(connection_id), &event);
        after_commit("pushing what was read", told).await;
    }
    Ok(match known {
        Ok(false) => Reply::Last(event),
        // The messages are marked, even if the table of connections did not answer.
        Ok(true) | Err(_) => Reply::Event(event),
    })
}

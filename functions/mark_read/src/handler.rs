//! Both sides' other connections learn of it, if anything changed.

use domain::Failure;
use edge::Error;
use edge::websocket::Caller;
use protocol::{Event, MarkRead, Time};
use realtime::{Connections, Push, best_effort, deliver};
use store::{Read, Store};

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) push: Push,
}

pub(crate) async fn handle(state: &State, caller: &Caller, frame: MarkRead) -> Result<Event, Error> {
    let conversation_id = frame.conversation_id;
    let up_to = frame.up_to_seq.map(Into::into);
    let (read, known) = tokio::join!(
        state.store.mark_read(conversation_id, &caller.user_id, up_to),
        state.connections.knows(&caller.user_id, &caller.connection_id),
    );
    let read = read?.ok_or_else(Error::not_a_participant)?;
    let event = Event::MessagesRead {
        conversation_id,
        reader_id: caller.user_id.clone(),
        up_to_seq: read.up_to,
        read_at: Time(read.at),
    };
    if read.changed {
        best_effort("telling the others what was read", tell(state, caller, &read, &event)).await;
    }
    match known {
        Ok(false) => Err(Error::connection_lost().after(event)),
        // What was read is read, whether or not anything is known of the connection.
        Ok(true) | Err(_) => Ok(event),
    }
}

async fn tell(state: &State, caller: &Caller, read: &Read, event: &Event) -> Result<(), Failure> {
    let participants: Vec<_> = read.participants.iter().cloned().collect();
    let mut targets = state.connections.connections_of(&participants).await?;
    targets.retain(|target| target.connection != caller.connection_id);
    deliver(&state.connections, &state.push, targets, event).await;
    Ok(())
}

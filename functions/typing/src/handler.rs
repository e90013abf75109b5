//! Typing is volatile: one read, one attempt for each push, and a lost push is not repeated. The next message
//! of the user also ends their typing.

use edge::Error;
use edge::websocket::{Caller, Reply};
use protocol::{Event, Typing, TypingAction};
use realtime::{Connections, Push, frame};

/// After this many milliseconds without another event, a receiver stops showing that the user types.
const EXPIRES_IN_MS: u64 = 6000;

pub(crate) struct State {
    pub(crate) connections: Connections,
    pub(crate) push: Push,
}

pub(crate) async fn handle(state: &State, caller: &Caller, typing: Typing) -> Result<Reply, Error> {
    let room = state.connections.room_around(&caller.user_id, typing.conversation_id).await?;
    let (own, others): (Vec<_>, Vec<_>) =
        room.into_iter().partition(|target| target.connection == caller.connection_id);
    if own.is_empty() {
        // Only a refusal and a large conversation cost a second read. In a large one nobody is told who
        // types.
        let (user, connection) = (&caller.user_id, &caller.connection_id);
        let joined_large = state.connections.has_joined_large(user, connection, typing.conversation_id);
        return match joined_large.await? {
            (true, true) => Ok(Reply::Silent),
            (true, false) => Err(Error::not_joined()),
            (false, _) => Err(Error::connection_lost()),
        };
    }
    let (user_id, conversation_id) = (caller.user_id.clone(), typing.conversation_id);
    let event = frame(&match typing.action {
        TypingAction::Start => Event::UserTyping { user_id, conversation_id, expires_in_ms: EXPIRES_IN_MS },
        TypingAction::Stop => Event::UserStoppedTyping { user_id, conversation_id },
    });
    state.push.fan_out(others.into_iter().map(|target| (target, event.clone())).collect()).await;
    Ok(Reply::Silent)
}

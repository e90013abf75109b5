//! Needs no permission: to leave a conversation that was not joined has no effect.

use edge::Error;
use edge::websocket::{Caller, Reply};
use protocol::{Event, LeaveConversation};
use realtime::{Connections, Left};

pub(crate) async fn handle(
    connections: &Connections,
    caller: &Caller,
    frame: LeaveConversation,
) -> Result<Reply, Error> {
    let conversation_id = frame.conversation_id;
    match connections.leave(&caller.connection_id, conversation_id).await? {
        Left::Left => Ok(Reply::Event(Event::LeftConversation { conversation_id })),
        Left::NotConnected => Err(Error::connection_lost()),
    }
}

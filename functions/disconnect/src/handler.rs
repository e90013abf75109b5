//! Ends what the connection held: its lease, and its place in the conversations it joined.

use edge::Error;
use edge::websocket::Caller;
use realtime::Connections;

pub(crate) async fn handle(connections: &Connections, caller: &Caller) -> Result<(), Error> {
    connections.disconnect(&caller.user_id, &caller.connection_id).await?;
    Ok(())
}

//! Renews the lease, even while Postgres is down: then the client gets `unavailable`, and stays online.

use std::time::Duration;

use domain::Timestamp;
use edge::Error;
use edge::websocket::{Caller, Reply};
use protocol::{Event, Head, Ping, Time};
use realtime::{Connections, Pinged};
use store::Store;

/// The number of conversations in a `pong`.
const HEADS: i64 = 100;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) lease: Duration,
}

pub(crate) async fn handle(state: &State, caller: &Caller, _: Ping) -> Result<Reply, Error> {
    let (pinged, heads) = tokio::join!(
        state.connections.ping(&caller.user_id, &caller.connection_id, state.lease),
        state.store.heads_of(&caller.user_id, HEADS),
    );
    if pinged? == Pinged::NotConnected {
        return Err(Error::connection_lost());
    }
    let conversations = heads?.into_iter().map(|head| Head {
        conversation_id: head.id,
        last_seq: head.last_seq,
        last_change: head.last_change,
    });
    Ok(Reply::Event(Event::Pong {
        server_time: Time(Timestamp::now_utc()),
        token_expires_at: Time(caller.token_expires_at),
        conversations: conversations.collect(),
    }))
}

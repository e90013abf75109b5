//! Postgres first, the table of connections last: a `$connect` that fails gets no `$disconnect`, so it must leave nothing that
//! only that would clean up.

use domain::Profile;
use edge::Error;
use edge::websocket::Caller;
use realtime::{Connections, Push};
use store::Store;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) push: Push,
    pub(crate) max_connections: usize,
}

pub(crate) async fn handle(state: &State, caller: &Caller, profile: Profile) -> Result<(), Error> {
    state.store.keep_user(&caller.user_id, &profile).await?;
    let connected = state.connections.connect(&caller.user_id, &caller.connection_id).await?;

    // The connection is written down and opens in any case; an old one that could not be closed is tried again by the next connect.
    let surplus = (connected.others.len() + 1).saturating_sub(state.max_connections);
    let oldest = &connected.others[..surplus.min(connected.others.len())];
    for connection in oldest {
        state.push.close(connection).await;
    }
    if let Err(failure) = state.connections.forget(&caller.user_id, oldest).await {
        Error::from(failure).log();
    }
    Ok(())
}

//! Postgres first, the table of connections last: a `$connect` that fails gets no `$disconnect`, so it must leave nothing that
//! only that would clean up. Once the connection is written down it opens, whatever becomes of the rest.

use std::time::Duration;

use domain::{ConnectionId, Profile};
use edge::Error;
use edge::websocket::Caller;
use realtime::{Announcer, logged};
use store::Store;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) announcer: Announcer,
    pub(crate) lease: Duration,
    pub(crate) max_connections: usize,
}

pub(crate) async fn handle(state: &State, caller: &Caller, profile: Profile) -> Result<(), Error> {
    let user = &caller.user_id;
    let contacts = state.store.welcome(user, &profile).await?;
    let connected = state.announcer.connections.connect(user, &caller.connection_id, state.lease).await?;

    let surplus = (connected.others.len() + 1).saturating_sub(state.max_connections);
    close_oldest(state, caller, &connected.others[..surplus.min(connected.others.len())]).await;
    if let Some(version) = connected.came_online {
        logged("announcing that a user is online", state.announcer.online(user, version, &contacts).await);
    }
    Ok(())
}

/// One that could not be closed is among the oldest at the next connect too.
async fn close_oldest(state: &State, caller: &Caller, oldest: &[ConnectionId]) {
    let Announcer { connections, push, .. } = &state.announcer;
    for connection in oldest {
        push.close(connection).await;
    }
    logged("forgetting the oldest connections", connections.forget(&caller.user_id, oldest).await);
}

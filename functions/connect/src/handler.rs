//! Postgres first, the table of connections last: a `$connect` that fails gets no `$disconnect`, so it must
//! leave nothing that only that would clean up. Once the connection is written down it opens, whatever
//! becomes of the rest.

use std::time::Duration;

use domain::Profile;
use edge::Error;
use edge::websocket::Caller;
use realtime::{Announcer, best_effort, clear_expired, close_all};
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
    let oldest = &connected.others[..surplus.min(connected.others.len())];
    best_effort("making room for a new connection and announcing it", async {
        let Announcer { connections, push, .. } = &state.announcer;
        let closed = close_all(connections, push, oldest);
        let cleared = clear_expired(connections, push, &connected.expired);
        let announced = async {
            match connected.came_online {
                Some(version) => state.announcer.online(user, version, &contacts).await,
                None => Ok(()),
            }
        };
        tokio::join!(closed, cleared, announced).2
    })
    .await;
    Ok(())
}

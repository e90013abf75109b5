//! Postgres first, the table of connections last: a `$connect` that fails gets no `$disconnect`, so it must
//! not leave anything that only a `$disconnect` removes. Once the connection is in the table, `$connect`
//! succeeds.

use std::time::Duration;

use domain::{Identity, Profile};
use edge::Error;
use edge::websocket::{Callbacks, Caller, dismiss};
use realtime::{Announcer, best_effort, clear};
use store::Store;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) announcer: Announcer,
    pub(crate) lease: Duration,
    pub(crate) max_connections: usize,
}

pub(crate) async fn handle(
    state: &State,
    caller: &Caller,
    identity: &Identity,
    profile: Profile,
) -> Result<(), Error> {
    let Announcer { connections, push, .. } = &state.announcer;
    let contacts = state.store.welcome(identity, &profile).await?;
    let connected =
        connections.connect(identity, &caller.connection_id, state.lease, state.max_connections).await?;
    best_effort("making room for a new connection and announcing it", async {
        let replaced = &Error::too_many_connections(state.max_connections);
        tokio::join!(
            clear(connections, &connected.surplus, async |id| dismiss(push, id, replaced).await),
            clear(connections, &connected.expired, async |id| push.close(id).await),
            state.announcer.announce(connected.unannounced, &contacts),
        )
        .2
    })
    .await;
    match connected.is_refused {
        true => Err(Error::token_revoked()),
        false => Ok(()),
    }
}

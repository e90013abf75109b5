//! Ends what the connection held: its lease, and its place in the conversations it joined. If it was its
//! user's last one, whoever wants to know is told.
//!
//! Who that is comes first: were the user offline already when Postgres turns out to be down, nobody would
//! ever be told. Like this the lease stays, and the sweep does both.

use edge::Error;
use edge::websocket::Caller;
use realtime::{Announcer, Disconnected};
use store::Store;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) announcer: Announcer,
}

pub(crate) async fn handle(state: &State, caller: &Caller) -> Result<(), Error> {
    let user = &caller.user_id;
    let contacts = state.store.contacts_of(user).await?;
    match state.announcer.connections.disconnect(user, &caller.connection_id).await? {
        Disconnected::WentOffline(offline) => Ok(state.announcer.offline(user, offline, &contacts).await?),
        Disconnected::Unchanged => Ok(()),
    }
}

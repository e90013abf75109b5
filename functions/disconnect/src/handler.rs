//! Removes the lease of the connection, and takes it out of the conversations that it joined. If the user has
//! no other connection, it is announced to their contacts.
//!
//! The contacts are read first: while Postgres is down the lease stays, and the sweep does this later.

use edge::Error;
use edge::websocket::{Callbacks, Caller};
use realtime::{Announcer, best_effort, clear};
use store::Store;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) announcer: Announcer,
}

pub(crate) async fn handle(state: &State, caller: &Caller) -> Result<(), Error> {
    let user = &caller.user_id;
    let Announcer { connections, push, .. } = &state.announcer;
    let contacts = state.store.contacts_of(user).await?;
    let departed = connections.disconnect(user, &caller.connection_id).await?;
    best_effort("announcing a disconnect and clearing what it left", async {
        let own = connections.forget_rooms(&caller.connection_id);
        let expired = clear(connections, &departed.expired, async |id| push.close(id).await);
        let announced = state.announcer.announce(departed.unannounced, &contacts);
        let (own, (), announced) = tokio::join!(own, expired, announced);
        own.and(announced)
    })
    .await;
    Ok(())
}

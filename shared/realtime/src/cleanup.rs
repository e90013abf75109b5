//! Closes connections that have lost their leases, and removes what they left in the table.

use domain::ConnectionId;
use futures_util::future::join_all;

use crate::best_effort::logged;
use crate::connections::Connections;
use crate::target::Target;

/// Closes connections whose leases have ended, each by `close`, and removes what they left in the table.
pub async fn clear(connections: &Connections, ended: &[Target], close: impl AsyncFn(&ConnectionId)) {
    let clearing = ended.iter().map(async |target| {
        close(&target.connection).await;
        let cleared = connections.forget_rooms(&target.connection).await;
        logged("clearing a connection whose lease has ended", cleared);
    });
    join_all(clearing).await;
}

//! A connection that a frame may be pushed to.

use std::time::Duration;

use domain::{ConnectionId, UserId};

use crate::table::{Lease, Millis, OPERATION_TIMEOUT, Room, millis, now};
use crate::user_item::UserItem;

/// A connection that a frame may be pushed to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its id.
    pub connection: ConnectionId,
    /// Its user.
    pub user: UserId,
    /// Its lease, if that is known.
    pub(crate) lease: Option<Lease>,
    /// The room that it was found in, if it was found in one.
    pub(crate) room: Option<Room>,
}

impl Target {
    pub(crate) fn of_user(user: &UserId, connection: ConnectionId, lease: Lease) -> Self {
        Self { connection, user: user.clone(), lease: Some(lease), room: None }
    }

    /// Whether it opened after a write that was decided `at` some time: then its client has read what was
    /// written. The write may have taken its whole time limit, and the clocks of two machines differ.
    pub(crate) fn opened_after_write(&self, at: Millis) -> bool {
        const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(1);
        self.lease.is_some_and(|lease| lease.opened_at > at + millis(OPERATION_TIMEOUT + CLOCKS_DIFFER_BY))
    }

    /// Whether its `$connect` may still be running: until it ends, a push is answered 410.
    pub(crate) fn may_be_opening(&self) -> bool {
        const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
        self.lease.is_some_and(|lease| now() < lease.opened_at + millis(CONNECT_TIMEOUT))
    }
}

/// The connections of a user whose leases have not expired.
pub(crate) fn reachable(item: &UserItem, now: Millis) -> impl Iterator<Item = Target> {
    item.unexpired(now).map(|(connection, lease)| Target::of_user(&item.user, connection.clone(), *lease))
}

//! What all requests share.

use aws::Deliveries;
use realtime::Announcer;
use store::Store;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) announcer: Announcer,
    pub(crate) deliveries: Deliveries,
    /// How many participants a group may have.
    pub(crate) max_participants: i32,
}

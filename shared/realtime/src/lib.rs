//! Who is connected, which conversations they joined, and how a frame reaches them.
//!
//! [`Connections`] is the DynamoDB table and the only place that knows its attributes; [`Push`] is the API
//! Gateway connection callback. Both clients live as long as the process and are shared by all its events.

mod aws;
mod connections;
mod delivery;
mod presence;
mod push;
mod rooms;
mod table;

pub use connections::{Connected, Connections, Departed, Offline, Pinged};
pub use delivery::{Target, best_effort, clear, clear_expired, close_all, deliver, deliver_each, frame};
pub use presence::{Announcer, Presence, PresenceAudience};
pub use push::{Delivery, Push};
pub use rooms::{Audience, Joined, Left};

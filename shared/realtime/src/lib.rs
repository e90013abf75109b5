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
mod rules;
mod table;
mod user_item;

pub use connections::{Connected, Connections, Departed, Pinged, Unannounced};
pub use delivery::{Target, best_effort, clear, deliver, deliver_each, frame};
pub use presence::{Announcer, Presence, PresenceAudience};
pub use push::{Delivery, Push};
pub use rooms::{Audience, Joined, Left};

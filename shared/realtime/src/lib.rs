//! Who is connected, which conversations they joined, and how a frame reaches them.
//!
//! [`Connections`] is the DynamoDB table; no other crate knows its attributes. [`Push`] is the API Gateway
//! connection callback. Both clients live as long as the process and are shared by all its events.

mod best_effort;
mod cleanup;
mod connections;
mod delivery;
mod dynamodb;
mod presence;
mod push;
mod rooms;
mod rules;
mod table;
mod target;
mod user_item;

pub use best_effort::{after_commit, best_effort};
pub use cleanup::{clear, shut_out};
pub use connections::{Connected, Connections, Departed, Pinged, Unannounced, lease_from_env};
pub use delivery::{Latest, deliver, frame, message_frames, tell, tell_listeners, tell_roster_change};
pub use presence::{Announcer, Presence, PresenceAudience};
pub use push::Push;
pub use rooms::{Audience, Joined, Left, MAX_JOINED, Membership};
pub use target::Target;

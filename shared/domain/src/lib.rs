//! What a message, a user and a conversation are, and which values they may hold.
//!
//! Pure: no I/O, no AWS, no SQL. A value of a type from here has passed its `parse`, so nothing inside checks
//! it again.

mod conversation;
mod failure;
mod ids;
mod message;
mod text;
mod user;

pub use conversation::{ActivityCursor, NotACursor, Participants, SameUser};
pub use failure::{Dependency, Failure, FailureKind};
pub use ids::{ConnectionId, ConversationId, MessageId, UserId};
pub use message::{ClientMessageId, Content, Message, NewMessage, Read, Seq};
pub use text::Invalid;
pub use user::{AvatarUrl, DisplayName, Name, Profile, User};

/// A point in time; always UTC.
pub type Timestamp = time::OffsetDateTime;

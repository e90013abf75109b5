//! The values that messages, users and conversations are made of.
//!
//! Pure: no I/O, no AWS, no SQL. A value from outside has been checked by the `parse` of its type, one from
//! the database before it was stored. No other code checks it again.

mod conversation;
mod failure;
mod ids;
mod message;
mod metadata;
mod text;
mod user;

pub use conversation::{
    ActivityCursor, Change, ClientConversationId, Conversation, Kind, Listeners, MAX_NOTIFIED, NotACursor,
    Outline, Participants, Role, RosterChange, SameUser, Title,
};
pub use failure::{Dependency, Failure, FailureKind};
pub use ids::{ConnectionId, ConversationId, MessageId, UserId};
pub use message::{
    ClientMessageId, Content, MAX_REACTIONS, Message, MessageChange, NewMessage, Reaction, ReactionCount,
    Read, Seq,
};
pub use metadata::Metadata;
pub use text::Invalid;
pub use user::{AvatarUrl, Contacts, DisplayName, Identity, Name, Profile, User};

/// A point in time, in UTC.
pub type Timestamp = time::OffsetDateTime;

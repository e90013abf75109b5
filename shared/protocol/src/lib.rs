//! The wire format: frames in, frames out, HTTP bodies. Everything that a client sees is defined here.

mod error;
mod event;
mod frame;
mod message;
pub mod rest;
pub mod service;
mod timestamp;
pub mod webhook;

pub use error::{Code, ErrorBody, ErrorFrame};
pub use event::{Answer, Event, Head, RoleOf};
pub use frame::{
    AnyFrame, ChangeMessage, ChangeReaction, DeleteMessage, EditMessage, FrameId, JoinConversation,
    LeaveConversation, MarkRead, Ping, Refused, SendMessage, Typing, TypingAction, UpToSeq, read_frame,
    read_object,
};
pub use message::{Message, ReactionCount, User};
pub use timestamp::Time;

/// Tells a field that is null from one that is absent.
fn given<'de, T: serde::Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

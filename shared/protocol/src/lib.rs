//! The wire format: frames in, frames out, HTTP bodies. Everything that a client sees is defined here.

mod error;
mod event;
mod frame;
mod message;
pub mod rest;
mod timestamp;

pub use error::{Code, ErrorBody, ErrorFrame};
pub use event::{Answer, Event, Head, RoleOf};
pub use frame::{
    AnyFrame, FrameId, JoinConversation, LeaveConversation, MarkRead, Ping, Refused, SendMessage, Typing,
    TypingAction, UpToSeq, read_frame, read_object,
};
pub use message::{Message, User};
pub use timestamp::Time;

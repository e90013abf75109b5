//! What requests are answered with.

use protocol::rest::{Done, ParticipantCount};
use protocol::service::{Closed, Conversation, Exported};
use protocol::{Message, User};
use serde::Serialize;

/// The body of an answer.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    User(User),
    Closed(Closed),
    Exported(Box<Exported>),
    Conversation(Box<Conversation>),
    ParticipantCount(ParticipantCount),
    Message(Box<Message>),
    Done(Done),
}

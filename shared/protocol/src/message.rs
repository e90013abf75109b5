//! A message and its sender as clients see them.

use domain::{ConversationId, MessageId, Seq, UserId};
use serde::{Deserialize, Serialize};

use crate::Time;

/// A stored message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id; clients drop what they have seen by it.
    pub id: MessageId,
    /// Where it is.
    pub conversation_id: ConversationId,
    /// Its place there: 1, 2, 3 and so on without gaps.
    pub seq: Seq,
    /// Who sent it.
    pub sender_id: UserId,
    /// What is known of them.
    pub sender: User,
    /// What it says.
    pub content: String,
    /// The sending client's own name for it.
    pub client_message_id: Option<String>,
    /// When it was stored.
    pub created_at: Time,
    /// When the other side read it.
    pub read_at: Option<Time>,
}

/// What others see of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Who it is.
    pub id: UserId,
    /// The full name.
    pub name: Option<String>,
    /// The short name.
    pub display_name: Option<String>,
    /// Where a picture is.
    pub avatar_url: Option<String>,
}

impl From<domain::Message> for Message {
    fn from(message: domain::Message) -> Self {
        Self {
            id: message.id,
            conversation_id: message.conversation_id,
            seq: message.seq,
            sender_id: message.sender.id.clone(),
            sender: message.sender.into(),
            content: message.content,
            client_message_id: message.client_message_id,
            created_at: Time(message.created_at),
            read_at: message.read_at.map(Time),
        }
    }
}

impl From<domain::User> for User {
    fn from(user: domain::User) -> Self {
        Self { id: user.id, name: user.name, display_name: user.display_name, avatar_url: user.avatar_url }
    }
}

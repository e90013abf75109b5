//! Messages and users as clients see them.

use domain::{ConversationId, MessageId, Profile, Seq, UserId};
use serde::{Deserialize, Serialize};

use crate::Time;

/// A stored message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The id. A client drops a message whose id it has.
    pub id: MessageId,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The number in the conversation: 1, 2, 3 and so on without gaps.
    pub seq: Seq,
    /// The sender.
    pub sender_id: UserId,
    /// The profile of the sender.
    pub sender: User,
    /// The text.
    pub content: String,
    /// The name that the sending client gave to the message.
    pub client_message_id: Option<String>,
    /// When the message was stored.
    pub created_at: Time,
    /// In a conversation of two: when the other participant read it.
    pub read_at: Option<Time>,
}

/// A user, as other users see them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The full name.
    pub name: Option<String>,
    /// The short name.
    pub display_name: Option<String>,
    /// The URL of the picture.
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
            content: message.content.into(),
            client_message_id: message.client_message_id.map(String::from),
            created_at: Time(message.created_at),
            read_at: message.read_at.map(Time),
        }
    }
}

impl From<domain::User> for User {
    fn from(user: domain::User) -> Self {
        let Profile { name, display_name, avatar_url } = user.profile;
        Self {
            id: user.id,
            name: name.map(String::from),
            display_name: display_name.map(String::from),
            avatar_url: avatar_url.map(String::from),
        }
    }
}

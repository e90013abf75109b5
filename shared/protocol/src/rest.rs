//! Bodies of the HTTP API.

use domain::{ConversationId, Seq, UserId};
use serde::{Deserialize, Serialize};

use crate::{Message, Time, User};

/// The body of `POST /api/conversations/find-or-create`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FindOrCreateConversation {
    /// The user with whom the caller wants to have a conversation.
    pub other_user_id: UserId,
}

/// The answer to `POST /api/conversations/find-or-create`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FoundConversation {
    /// The conversation of the caller and the other user.
    pub conversation_id: ConversationId,
}

/// The answer to `GET /api/conversations`: the user's conversations, newest activity first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConversationPage {
    /// A page of conversations.
    pub conversations: Vec<ConversationSummary>,
    /// The cursor of the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// A conversation in the list of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConversationSummary {
    /// The id.
    pub id: ConversationId,
    /// The other participant.
    pub other_user: OtherUser,
    /// The latest message.
    pub last_message: Option<Message>,
    /// When the latest message was stored.
    pub last_message_at: Option<Time>,
    /// The number of the latest message, 0 before the first.
    pub last_seq: Seq,
    /// How many messages the user has not read.
    pub unread_count: i64,
}

/// The other participant of a conversation, and whether they are online.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OtherUser {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// Whether the user is online.
    pub online: bool,
    /// When the user last went offline.
    pub last_seen_at: Option<Time>,
}

/// The answer to `GET /api/conversations/{conversationId}/messages`: messages, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MessagePage {
    /// A page of messages.
    pub messages: Vec<Message>,
    /// Whether there are more messages in the direction that was asked for.
    pub has_more: bool,
}

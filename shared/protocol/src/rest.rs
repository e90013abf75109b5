//! The bodies of the HTTP API.

use domain::{ConversationId, Seq, UserId};
use serde::{Deserialize, Serialize};

use crate::{Message, Time, User};

/// `POST /api/conversations/find-or-create`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FindOrCreateConversation {
    /// Whom the caller wants to talk to.
    pub other_user_id: UserId,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FoundConversation {
    /// The one conversation of the two.
    pub conversation_id: ConversationId,
}

/// `GET /api/conversations`: the caller's conversations, newest activity first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConversationPage {
    /// One page of them.
    pub conversations: Vec<ConversationSummary>,
    /// What gets the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// A conversation in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConversationSummary {
    /// Its id.
    pub id: ConversationId,
    /// Whom it is with.
    pub other_user: OtherUser,
    /// Its latest message.
    pub last_message: Option<Message>,
    /// When that was stored.
    pub last_message_at: Option<Time>,
    /// Its place, 0 before the first.
    pub last_seq: Seq,
    /// How many messages the caller has not read.
    pub unread_count: i64,
}

/// The other side of a conversation, and whether they are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OtherUser {
    /// Who it is.
    #[serde(flatten)]
    pub user: User,
    /// Whether they have a connection.
    pub online: bool,
    /// When they last went offline.
    pub last_seen_at: Option<Time>,
}

/// `GET /api/conversations/{conversationId}/messages`: messages, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MessagePage {
    /// One page of them.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction that was asked for.
    pub has_more: bool,
}

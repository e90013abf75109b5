//! The bodies of the HTTP API.

use domain::{ConversationId, UserId};
use serde::{Deserialize, Serialize};

/// `POST /api/conversations/find-or-create`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FindOrCreateConversation {
    /// Whom the caller wants to talk to.
    pub other_user_id: UserId,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundConversation {
    /// The one conversation of the two.
    pub conversation_id: ConversationId,
}

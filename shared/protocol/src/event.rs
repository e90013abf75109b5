//! What the service says, as an answer or unasked.

use domain::{ConversationId, Seq, UserId};
use serde::{Deserialize, Serialize};

use crate::{FrameId, Message};

/// `{"type", "data"}`: something happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event {
    /// The caller's connection now gets the conversation's messages.
    JoinedConversation {
        /// Which.
        conversation_id: ConversationId,
        /// The place of its latest message, 0 before the first.
        last_seq: Seq,
        /// The participants who are online, the caller included.
        online_user_ids: Vec<UserId>,
    },
    /// The caller's connection no longer gets them.
    LeftConversation {
        /// Which.
        conversation_id: ConversationId,
    },
    /// A message was stored.
    NewMessage(Message),
}

/// An event that answers a frame: `{"type", "id"?, "data"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The `id` of the frame that is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<FrameId>,
    /// What it caused.
    #[serde(flatten)]
    pub event: Event,
}

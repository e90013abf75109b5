//! What the service says, as an answer or unasked.

use domain::{ConversationId, Read, Seq, UserId};
use serde::{Deserialize, Serialize};

use crate::{FrameId, Message, Time};

/// `{"type", "data"}`: something happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", content = "data", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event {
    /// The caller's connection now gets the conversation's messages.
    JoinedConversation {
        /// The conversation.
        conversation_id: ConversationId,
        /// The place of its latest message, 0 before the first.
        last_seq: Seq,
        /// The participants who are online, the caller included.
        online_user_ids: Vec<UserId>,
    },
    /// The caller's connection no longer gets them.
    LeftConversation {
        /// The conversation.
        conversation_id: ConversationId,
    },
    /// A message was stored. Whoever gets it knows that its sender has stopped typing.
    NewMessage(Message),
    /// The same, for a connection that has not joined the conversation.
    ConversationUpdated {
        /// The conversation.
        conversation_id: ConversationId,
        /// The message.
        last_message: Message,
        /// Its place in the conversation.
        last_seq: Seq,
        /// How many messages the receiving user has not read.
        unread_count: i64,
    },
    /// Messages of the other side were read.
    MessagesRead {
        /// The conversation.
        conversation_id: ConversationId,
        /// The user who has read.
        reader_id: UserId,
        /// The place of the last one; those before it are read too.
        up_to_seq: Seq,
        /// When they were read.
        read_at: Time,
    },
    /// A user has a connection now who had none.
    UserOnline {
        /// The user.
        user_id: UserId,
        /// Grows with every change; a frame with a lower one than seen before is stale.
        version: u64,
    },
    /// A user has no connection any more.
    UserOffline {
        /// The user.
        user_id: UserId,
        /// As in `user_online`.
        version: u64,
        /// When they were last seen.
        last_seen_at: Time,
    },
    /// A user is typing in a conversation that this connection joined.
    UserTyping {
        /// The user.
        user_id: UserId,
        /// The conversation.
        conversation_id: ConversationId,
        /// After this many milliseconds without another such frame they are not.
        expires_in_ms: u64,
    },
    /// They no longer are.
    UserStoppedTyping {
        /// The user.
        user_id: UserId,
        /// The conversation.
        conversation_id: ConversationId,
    },
    /// The connection is alive, and this is where its conversations stand.
    Pong {
        /// The service's clock.
        server_time: Time,
        /// When the token expires that the connection was opened with.
        token_expires_at: Time,
        /// The 100 with the latest activity.
        conversations: Vec<Head>,
    },
}

impl From<Read> for Event {
    fn from(read: Read) -> Self {
        let Read { conversation_id, reader_id, up_to_seq, read_at } = read;
        Self::MessagesRead { conversation_id, reader_id, up_to_seq, read_at: Time(read_at) }
    }
}

/// Where a conversation stands: a client that has less fetches what it misses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The place of its latest message, 0 before the first.
    pub last_seq: Seq,
}

/// An event that answers a frame: `{"type", "id"?, "data"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Answer {
    /// The `id` of the frame that is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<FrameId>,
    /// What it caused.
    #[serde(flatten)]
    pub event: Event,
}

//! Events: what the service sends, as an answer or as a push.

use domain::{Change, ConversationId, Read, Role, Seq, UserId};
use serde::{Deserialize, Serialize};

use crate::rest::Kind;
use crate::{FrameId, Message, Time};

/// An event: `{"type", "data"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", content = "data", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event {
    /// This connection gets the messages of the conversation from now on.
    JoinedConversation {
        /// The conversation.
        conversation_id: ConversationId,
        /// The number of the latest message, 0 before the first.
        last_seq: Seq,
        /// The number of the latest change, 0 before the first.
        last_change: Change,
        /// The participants who are online, the caller included; in a conversation of more than 80 only the
        /// caller.
        online_user_ids: Vec<UserId>,
    },
    /// This connection does not get the messages of the conversation any more.
    LeftConversation {
        /// The conversation.
        conversation_id: ConversationId,
    },
    /// A message was stored. It also means that its sender has stopped typing.
    NewMessage(Message),
    /// A message was edited, deleted, or has other reactions.
    MessageChanged {
        /// The message as it is now.
        message: Message,
        /// The number of the change; in the answer to a frame that changed nothing, that of the latest one.
        change: Option<Change>,
    },
    /// A message was stored, or the latest one has changed, for a connection that has not joined its
    /// conversation.
    ConversationUpdated {
        /// The conversation.
        conversation_id: ConversationId,
        /// The message.
        last_message: Message,
        /// The number of the message in the conversation.
        last_seq: Seq,
        /// How many messages of the conversation the user has not read.
        unread_count: i64,
    },
    /// The title or the avatar of a group has changed.
    ConversationChanged {
        /// The conversation.
        conversation_id: ConversationId,
        /// What it is.
        kind: Kind,
        /// The name of the group.
        title: Option<String>,
        /// The URL of its picture.
        avatar_url: Option<String>,
        /// How many users take part.
        participant_count: i32,
        /// The number of this change.
        last_change: Change,
    },
    /// Users were added to a group or removed from it, or their roles have changed.
    ParticipantsChanged {
        /// The conversation.
        conversation_id: ConversationId,
        /// The users who were added.
        added: Vec<UserId>,
        /// The users who were removed.
        removed: Vec<UserId>,
        /// The roles of those who were added, or have new ones.
        roles: Vec<RoleOf>,
        /// How many users take part.
        participant_count: i32,
        /// The number of this change.
        last_change: Change,
    },
    /// A participant has read messages. In a group only their own connections get this.
    MessagesRead {
        /// The conversation.
        conversation_id: ConversationId,
        /// The participant who has read them.
        reader_id: UserId,
        /// The number of the last of them; all messages before it are read too.
        up_to_seq: Seq,
        /// When they were read.
        read_at: Time,
    },
    /// A user is connected who was not.
    UserOnline {
        /// The user.
        user_id: UserId,
        /// The order of such events of one user. An event with a lower version than one before is outdated.
        version: u64,
    },
    /// A user is not connected any more.
    UserOffline {
        /// The user.
        user_id: UserId,
        /// As in `user_online`.
        version: u64,
        /// When the user went offline.
        last_seen_at: Time,
    },
    /// A participant is typing in a conversation that this connection has joined.
    UserTyping {
        /// The user.
        user_id: UserId,
        /// The conversation.
        conversation_id: ConversationId,
        /// After this many milliseconds without another such event, the user does not type any more.
        expires_in_ms: u64,
    },
    /// A participant has stopped typing.
    UserStoppedTyping {
        /// The user.
        user_id: UserId,
        /// The conversation.
        conversation_id: ConversationId,
    },
    /// The answer to `ping`: the state of the user's conversations.
    Pong {
        /// The time of the service.
        server_time: Time,
        /// When the token expires that the connection was opened with.
        token_expires_at: Time,
        /// The 100 conversations with the latest activity.
        conversations: Vec<Head>,
    },
}

impl From<Read> for Event {
    fn from(read: Read) -> Self {
        let Read { conversation_id, reader_id, up_to_seq, read_at } = read;
        Self::MessagesRead { conversation_id, reader_id, up_to_seq, read_at: Time(read_at) }
    }
}

/// The role of a participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RoleOf {
    /// The user.
    pub user_id: UserId,
    /// The role.
    pub role: Role,
}

/// The latest message and the latest change of a conversation, by their numbers. A client that knows fewer
/// fetches the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The number of the latest message, 0 before the first.
    pub last_seq: Seq,
    /// The number of the latest change, 0 before the first.
    pub last_change: Change,
}

/// An event that answers a frame: `{"type", "id"?, "data"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Answer {
    /// The `id` of the frame that this answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<FrameId>,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

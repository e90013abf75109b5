//! Bodies of the HTTP API.

use domain::{AvatarUrl, Change, ClientConversationId, ConversationId, Role, Seq, Title, UserId};
use serde::{Deserialize, Serialize};

use crate::{Message, Time, User, given};

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

/// The body of `POST /api/conversations`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CreateConversation {
    /// The name of the group.
    pub title: Title,
    /// The URL of its picture.
    pub avatar_url: Option<AvatarUrl>,
    /// The participants besides the caller, who is the owner.
    #[cfg_attr(feature = "schema", schemars(length(max = 100)))]
    pub participant_ids: Vec<UserId>,
    /// The client's name for the group. A repeat with the same name makes no other one.
    pub client_conversation_id: Option<ClientConversationId>,
}

/// The body of `PATCH /api/conversations/{conversationId}`. A field that is absent stays as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChangeConversation {
    /// The name of the group.
    pub title: Option<Title>,
    /// The URL of its picture; null for none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<AvatarUrl>"))]
    pub avatar_url: Option<Option<AvatarUrl>>,
}

/// The body of `POST /api/conversations/{conversationId}/participants`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AddParticipants {
    /// The users to add.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub user_ids: Vec<UserId>,
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ParticipantCount {
    /// How many users take part.
    pub participant_count: i32,
}

/// The body of `PATCH /api/conversations/{conversationId}/participants`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SetRole {
    /// The participant.
    pub user_id: UserId,
    /// The role.
    pub role: Role,
}

/// The answer to it: an empty object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Done {}

/// The answer to `GET /api/conversations/{conversationId}/participants`: participants, by their ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ParticipantPage {
    /// A page of participants.
    pub participants: Vec<Participant>,
    /// The cursor of the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// A participant of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// The user.
    pub user: User,
    /// The role; in a conversation of two both are members.
    pub role: Role,
    /// When the user was added.
    pub joined_at: Time,
    /// The number of the last message that the user has read. 0 if one of you has blocked the other.
    pub read_up_to_seq: Seq,
    /// Whether the user is online. False if one of you has blocked the other.
    pub online: bool,
    /// When the user last went offline. Null if one of you has blocked the other.
    pub last_seen_at: Option<Time>,
}

/// The answer to `GET /api/blocks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Blocks {
    /// The users whom the caller blocks, by their ids.
    #[cfg_attr(feature = "schema", schemars(length(max = 1000)))]
    pub user_ids: Vec<UserId>,
}

/// The answer to `GET /api/conversations`: the user's conversations, newest activity first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConversationPage {
    /// A page of conversations.
    pub conversations: Vec<Conversation>,
    /// The cursor of the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// What a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The conversation of two users.
    Direct,
    /// A conversation that users are added to and removed from.
    Group,
}

/// A conversation, as one of its participants sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// The id.
    pub id: ConversationId,
    /// What it is.
    pub kind: Kind,
    /// The name of a group; null in a direct conversation.
    pub title: Option<String>,
    /// The URL of the picture of a group.
    pub avatar_url: Option<String>,
    /// The role of the caller; in a direct conversation both are members.
    pub role: Role,
    /// How many users take part.
    pub participant_count: i32,
    /// The other participant of a direct conversation; null in a group.
    pub other_user: Option<OtherUser>,
    /// The latest message that the caller sees.
    pub last_message: Option<Message>,
    /// When that was stored.
    pub last_message_at: Option<Time>,
    /// The number of the first message that the caller sees.
    pub first_seq: Seq,
    /// The number of the latest message, 0 before the first.
    pub last_seq: Seq,
    /// The number of the latest change, 0 before the first.
    pub last_change: Change,
    /// How many messages the caller has not read.
    pub unread_count: i64,
}

impl Conversation {
    /// The conversation, with whether the other participant of a direct one is online and when they last went
    /// offline.
    pub fn new(conversation: domain::Conversation, online: bool, last_seen_at: Option<Time>) -> Self {
        let (kind, title, avatar_url, other_user) = match conversation.kind {
            domain::Kind::Direct { other, .. } => {
                (Kind::Direct, None, None, Some(OtherUser { user: other.into(), online, last_seen_at }))
            }
            domain::Kind::Group { title, avatar_url } => (Kind::Group, Some(title), avatar_url, None),
        };
        Self {
            id: conversation.id,
            kind,
            title: title.map(String::from),
            avatar_url: avatar_url.map(String::from),
            role: conversation.role,
            participant_count: conversation.participant_count,
            other_user,
            last_message_at: conversation.last_message.as_ref().map(|message| Time(message.created_at)),
            last_message: conversation.last_message.map(Into::into),
            first_seq: conversation.first_seq,
            last_seq: conversation.last_seq,
            last_change: conversation.last_change,
            unread_count: conversation.unread_count,
        }
    }
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
    /// The number of the first message that the caller sees. A client fills no gap below it.
    pub first_seq: Seq,
    /// The number of the latest change of the conversation, 0 before the first.
    pub last_change: Change,
}

/// The answer to `GET /api/conversations/{conversationId}/changes`: what has changed since a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// The conversation as it is now.
    pub conversation: Conversation,
    /// The messages that have changed, each once and as it is now, in the order of their latest changes.
    pub messages: Vec<Message>,
    /// The number of the last change up to which these are all: the next `after`.
    pub last_change: Change,
    /// Whether more messages have changed.
    pub has_more: bool,
}

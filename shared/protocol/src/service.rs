//! Bodies of the service API.

use domain::{
    AvatarUrl, Change, ClientConversationId, ClientMessageId, Content, ConversationId, DisplayName,
    MessageId, Metadata, Name, Outline, Reaction, Role, Seq, Title, UserId,
};
use serde::{Deserialize, Serialize};

use crate::rest::Kind;
use crate::{Message, Time, User, given};

/// The body of `PUT /service/users`. A field that is absent stays as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SetUser {
    /// The full name; null for none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Name>"))]
    pub name: Option<Option<Name>>,
    /// The short name; null for none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<DisplayName>"))]
    pub display_name: Option<Option<DisplayName>>,
    /// The URL of the picture; null for none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<AvatarUrl>"))]
    pub avatar_url: Option<Option<AvatarUrl>>,
}

/// The answer to `DELETE /service/connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Closed {
    /// How many connections were closed.
    pub closed: usize,
}

/// The answer to `GET /service/users/export`: a page of what a user did and is. Most pages have entries in
/// one list only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    /// The user.
    pub user: User,
    /// The messages that they have sent.
    pub messages: Vec<Message>,
    /// The reactions that they have given.
    pub reactions: Vec<OwnReaction>,
    /// Whom they block; on the first page.
    pub blocks: Vec<UserId>,
    /// The conversations that they take part in.
    pub participations: Vec<Participation>,
    /// The cursor of the next page; null on the last one.
    pub next_cursor: Option<String>,
}

/// A reaction of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OwnReaction {
    /// The message.
    pub message_id: MessageId,
    /// The reaction.
    pub reaction: Reaction,
}

/// What a conversation is to one of its participants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Participation {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The role; in a conversation of two both are members.
    pub role: Role,
    /// When the user was added.
    pub joined_at: Time,
    /// The number of the last message that the user has read.
    pub read_up_to_seq: Seq,
}

/// The body of `POST /service/conversations`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MakeConversation {
    /// The participants. Users who are not there yet are made.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 100)))]
    pub participant_ids: Vec<UserId>,
    /// The name of a group. Without it: the conversation of two participants.
    pub title: Option<Title>,
    /// Those of the participants who are owners of a group. Without any only the service changes it.
    #[cfg_attr(feature = "schema", schemars(length(max = 100)))]
    pub owner_ids: Option<Vec<UserId>>,
    /// The backend's name for the group. A repeat with the same name makes no other one.
    pub client_conversation_id: Option<ClientConversationId>,
}

/// The body of `POST /service/conversations/{conversationId}/messages`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SendMessage {
    /// The participant in whose name the message is sent.
    pub sender_id: UserId,
    /// The text.
    pub content: Content,
    /// The backend's name for the message. A repeat with the same name stores no other one.
    pub client_message_id: ClientMessageId,
    /// The data of the application.
    pub metadata: Option<Metadata>,
    /// The message that this one answers.
    pub reply_to: Option<MessageId>,
}

/// A conversation as in the HTTP API of users. What is a reader's own is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "ServiceConversation"))]
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
    /// Null: each participant has their own.
    pub role: (),
    /// How many users take part.
    pub participant_count: i32,
    /// Null: each participant has their own.
    pub other_user: (),
    /// The latest message.
    pub last_message: Option<Message>,
    /// When that was stored.
    pub last_message_at: Option<Time>,
    /// Null: each participant has their own.
    pub first_seq: (),
    /// The number of the latest message, 0 before the first.
    pub last_seq: Seq,
    /// The number of the latest change, 0 before the first.
    pub last_change: Change,
    /// Null: each participant has their own.
    pub unread_count: (),
}

impl Conversation {
    /// A group that has ended, of which nothing is known any more but these numbers.
    pub fn ended(id: ConversationId, last_seq: Seq, last_change: Change) -> Self {
        Self {
            id,
            kind: Kind::Group,
            title: None,
            avatar_url: None,
            role: (),
            participant_count: 0,
            other_user: (),
            last_message: None,
            last_message_at: None,
            first_seq: (),
            last_seq,
            last_change,
            unread_count: (),
        }
    }
}

impl From<Outline> for Conversation {
    fn from(outline: Outline) -> Self {
        Self {
            id: outline.id,
            kind: if outline.title.is_some() { Kind::Group } else { Kind::Direct },
            title: outline.title.map(String::from),
            avatar_url: outline.avatar_url.map(String::from),
            role: (),
            participant_count: outline.participant_count,
            other_user: (),
            last_message_at: outline.last_message.as_ref().map(|message| Time(message.created_at)),
            last_message: outline.last_message.map(Into::into),
            first_seq: (),
            last_seq: outline.last_seq,
            last_change: outline.last_change,
            unread_count: (),
        }
    }
}

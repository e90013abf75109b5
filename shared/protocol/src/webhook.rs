//! The events that backends are told: CloudEvents 1.0 as JSON.

use domain::{Change, ConversationId, Seq, UserId};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::service::Conversation;
use crate::{Message, RoleOf, Time};

/// The content type of an event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CloudEvent {
    /// The version of CloudEvents.
    #[cfg_attr(feature = "schema", schemars(extend("const" = "1.0")))]
    pub specversion: String,
    /// The id, by which one that is sent again is recognised.
    pub id: String,
    /// The deployment.
    pub source: String,
    /// What has happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The conversation; of `switchboard.user.erased` the user.
    pub subject: String,
    /// When it was committed.
    pub time: Time,
    /// The media type of `data`.
    #[cfg_attr(feature = "schema", schemars(extend("const" = "application/json")))]
    pub datacontenttype: String,
    /// What it is about, as it is when the event is sent.
    pub data: EventData,
}

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EventType {
    /// A message was sent.
    #[serde(rename = "switchboard.message.created")]
    MessageCreated,
    /// A message was edited, deleted or reacted to.
    #[serde(rename = "switchboard.message.changed")]
    MessageChanged,
    /// A participant has not read a message for some time.
    #[serde(rename = "switchboard.message.unread")]
    MessageUnread,
    /// A conversation was made.
    #[serde(rename = "switchboard.conversation.created")]
    ConversationCreated,
    /// The title or the avatar of a group has changed.
    #[serde(rename = "switchboard.conversation.changed")]
    ConversationChanged,
    /// The last participant of a group has left it.
    #[serde(rename = "switchboard.conversation.ended")]
    ConversationEnded,
    /// Users were added to a group or removed from it, or their roles have changed.
    #[serde(rename = "switchboard.participants.changed")]
    ParticipantsChanged,
    /// A user was erased.
    #[serde(rename = "switchboard.user.erased")]
    UserErased,
}

impl EventType {
    /// The type of what was recorded under this name.
    pub fn of(recorded: &str) -> Option<Self> {
        serde_json::from_value(format!("switchboard.{recorded}").into()).ok()
    }
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum EventData {
    /// Of `message.unread`.
    Unread(UnreadMessages),
    /// Of `message.created` and `message.changed`.
    Message(AboutMessage),
    /// Of `participants.changed`.
    Participants(ChangedParticipants),
    /// Of the events of conversations.
    Conversation(Conversation),
    /// Of `user.erased`.
    User(AboutUser),
}

impl<'de> Deserialize<'de> for EventData {
    /// Parses the original text. An untagged enum would be parsed from a copy in which the text of the
    /// metadata is lost.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let data = Box::<RawValue>::deserialize(deserializer)?;
        let text = data.get();
        let unread = serde_json::from_str(text).map(Self::Unread);
        let message = || serde_json::from_str(text).map(Self::Message);
        let participants = || serde_json::from_str(text).map(Self::Participants);
        let conversation = || serde_json::from_str(text).map(Self::Conversation);
        let user = || serde_json::from_str(text).map(Self::User);
        let known = unread.or_else(|_| message()).or_else(|_| participants()).or_else(|_| conversation());
        known.or_else(|_| user()).map_err(D::Error::custom)
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AboutMessage {
    /// The message as it is now. Null if it is gone, together with its conversation or by its age.
    pub message: Option<Message>,
}

/// What a participant has not read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UnreadMessages {
    /// The participant.
    pub user_id: UserId,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The number of the latest message that they have not read.
    pub up_to_seq: Seq,
    /// How many messages they have not read.
    pub unread_count: i64,
    /// The latest of them.
    pub message: Message,
}

/// A change of who takes part, as it is pushed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ChangedParticipants {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// What has changed.
    #[serde(flatten)]
    pub roster: Roster,
}

/// What has changed of who takes part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Roster {
    /// The users who were added.
    pub added: Vec<UserId>,
    /// The users who were removed.
    pub removed: Vec<UserId>,
    /// The roles of those who were added, or have new ones.
    pub roles: Vec<RoleOf>,
    /// How many users take part.
    pub participant_count: i32,
    /// The number of this change.
    pub last_change: Change,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AboutUser {
    /// The user.
    pub user_id: UserId,
}

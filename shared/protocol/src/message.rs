//! Messages and users as clients see them.

use domain::{Change, ConversationId, MessageId, Metadata, Profile, Reaction, Seq, UserId};
use serde::{Deserialize, Deserializer, Serialize};

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
    /// The text; empty once the message is deleted.
    pub content: String,
    /// The name that the sending client gave to the message.
    pub client_message_id: Option<String>,
    /// When the message was stored.
    pub created_at: Time,
    /// In a conversation of two: when the other participant read it.
    pub read_at: Option<Time>,
    /// The message that this one answers.
    pub reply_to: Option<MessageId>,
    /// The data of the application, as it was sent.
    #[serde(default, deserialize_with = "by_value")]
    pub metadata: Option<Metadata>,
    /// The reactions, the oldest first.
    pub reactions: Vec<ReactionCount>,
    /// When the message was last edited.
    pub edited_at: Option<Time>,
    /// When the message was deleted.
    pub deleted_at: Option<Time>,
    /// The number of the latest change of the message; null before the first. A client that has a later one
    /// drops this.
    pub change: Option<Change>,
}

/// A reaction to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReactionCount {
    /// The reaction.
    pub reaction: Reaction,
    /// How many users have given it.
    pub count: i64,
    /// The first ten of them. Fewer if their ids are so long that the message would not fit into a frame.
    pub user_ids: Vec<UserId>,
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
            reply_to: message.reply_to,
            metadata: message.metadata,
            reactions: reactions(message.reactions),
            edited_at: message.edited_at.map(Time),
            deleted_at: message.deleted_at.map(Time),
            change: message.change,
        }
    }
}

/// Reads metadata that may have lost its text: an event is read by way of values. The service itself reads no
/// messages.
fn by_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Metadata>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    let metadata = value.map(|value| Metadata::parse(value.to_string()));
    metadata.transpose().map_err(serde::de::Error::custom)
}

/// The most bytes of JSON that the ids of users have in the reactions of a message. With the longest content,
/// metadata and profile the message then fits into a frame of 32 KB, which is API Gateway's limit.
const MAX_BYTES_OF_USERS: usize = 4500;

/// The reactions, each with as many of its users as all can have.
fn reactions(stored: Vec<domain::ReactionCount>) -> Vec<ReactionCount> {
    let longest = stored.iter().map(|reaction| reaction.user_ids.len()).max().unwrap_or(0);
    let bytes = |most: usize| -> usize {
        stored.iter().flat_map(|reaction| reaction.user_ids.iter().take(most)).map(bytes_of).sum()
    };
    let most = (0..=longest).rev().find(|most| bytes(*most) <= MAX_BYTES_OF_USERS).unwrap_or(0);
    let shown = |domain::ReactionCount { reaction, count, mut user_ids }| {
        user_ids.truncate(most);
        ReactionCount { reaction, count, user_ids }
    };
    stored.into_iter().map(shown).collect()
}

/// The length of an id in JSON, with its comma.
fn bytes_of(user: &UserId) -> usize {
    serde_json::to_string(user).map_or(0, |json| json.len() + 1)
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

#[cfg(test)]
mod tests {
    use domain::{AvatarUrl, ClientMessageId, Content, DisplayName, Name, Timestamp};

    use super::*;

    /// The longest text that JSON makes of so many characters: a control character takes six bytes.
    fn escaped(characters: usize) -> String {
        "\u{1}".repeat(characters)
    }

    fn wide(characters: usize) -> String {
        "😀".repeat(characters)
    }

    #[test]
    fn the_largest_message_fits_into_a_frame() {
        let user = |n: usize| UserId::parse(format!("{}{n:04}", escaped(124))).unwrap();
        let reaction = |n: usize| domain::ReactionCount {
            reaction: Reaction::parse(format!("{}{n:02}", wide(30))).unwrap(),
            count: 1000,
            user_ids: (0..10).map(user).collect(),
        };
        let metadata = format!(r#"{{"a":"{}"}}"#, "a".repeat(4096 - 8));
        let message = domain::Message {
            id: MessageId::new(),
            conversation_id: ConversationId::new(),
            seq: Seq(i64::MAX),
            sender: domain::User {
                id: user(0),
                profile: Profile {
                    name: Some(Name::parse(wide(200)).unwrap()),
                    display_name: Some(DisplayName::parse(wide(200)).unwrap()),
                    avatar_url: Some(AvatarUrl::parse(wide(1000)).unwrap()),
                },
            },
            content: Content::parse(format!("a{}", escaped(1999))).unwrap(),
            client_message_id: Some(ClientMessageId::parse(escaped(64)).unwrap()),
            created_at: Timestamp::now_utc(),
            read_at: Some(Timestamp::now_utc()),
            reply_to: Some(MessageId::new()),
            metadata: Some(Metadata::parse(metadata).unwrap()),
            reactions: (0..20).map(reaction).collect(),
            edited_at: Some(Timestamp::now_utc()),
            deleted_at: None,
            change: Some(Change(i64::MAX)),
        };
        let message = Message::from(message);
        assert_eq!(message.reactions.len(), 20);
        let event = crate::Event::ConversationUpdated {
            conversation_id: ConversationId::new(),
            last_seq: Seq(i64::MAX),
            unread_count: i64::MAX,
            last_message: message,
        };
        let frame = serde_json::to_vec(&event).unwrap();
        assert!(frame.len() < 32 * 1024, "{}", frame.len());
        // A page of 100 is a string in the JSON that a function returns. Lambda takes 6 MB of that.
        let in_json = serde_json::to_string(std::str::from_utf8(&frame).unwrap()).unwrap();
        assert!(100 * in_json.len() < 6 * 1024 * 1024, "{}", in_json.len());
    }

    #[test]
    fn ids_of_a_usual_length_are_all_there() {
        let user = |n: usize| UserId::parse(format!("0197f1c0-0000-7000-8000-{n:012}")).unwrap();
        let reaction = |n: usize| domain::ReactionCount {
            reaction: Reaction::parse(format!("{n}")).unwrap(),
            count: 11,
            user_ids: (0..10).map(user).collect(),
        };
        let shown = reactions((0..11).map(reaction).collect());
        assert!(shown.iter().all(|reaction| reaction.user_ids.len() == 10));
    }
}

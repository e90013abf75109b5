//! Messages and users as clients see them.

use domain::{Change, ConversationId, MessageId, Metadata, Profile, Reaction, Seq, UserId};
use serde::{Deserialize, Serialize};

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
    pub metadata: Option<Metadata>,
    /// The reactions, the oldest first.
    pub reactions: Vec<ReactionCount>,
    /// When the message was last edited.
    pub edited_at: Option<Time>,
    /// When the message was deleted.
    pub deleted_at: Option<Time>,
    /// The number of the latest change of the message; null before the first. A client drops a state whose
    /// `change` is lower than that of the one it has.
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
    /// The first ten of them; fewer if the message would not fit into a frame.
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
        let mut message = Self {
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
            reactions: message.reactions.into_iter().map(Into::into).collect(),
            edited_at: message.edited_at.map(Time),
            deleted_at: message.deleted_at.map(Time),
            change: message.change,
        };
        message.limit_users();
        message
    }
}

impl From<domain::ReactionCount> for ReactionCount {
    fn from(stored: domain::ReactionCount) -> Self {
        let domain::ReactionCount { reaction, count, user_ids } = stored;
        Self { reaction, count, user_ids }
    }
}

/// The most bytes of JSON that a message has. API Gateway's limit of a frame is 32 KB; the rest is for the
/// other fields of the event, and for the `id` of the frame that it answers.
const MAX_BYTES: usize = 32 * 1024 - 1024;

impl Message {
    /// Shows of each reaction as many users as a frame has room for.
    fn limit_users(&mut self) {
        if self.reactions.is_empty() {
            return;
        }
        let longest = |message: &Self| message.reactions.iter().map(|of| of.user_ids.len()).max();
        while serde_json::to_vec(self).is_ok_and(|json| json.len() > MAX_BYTES) {
            let Some(most) = longest(self).filter(|most| *most > 0) else { return };
            self.reactions.iter_mut().for_each(|of| of.user_ids.truncate(most - 1));
        }
    }
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
    use crate::{Answer, Event};

    /// The longest text that JSON makes of so many characters: a control character takes six bytes.
    fn escaped(characters: usize) -> String {
        "\u{1}".repeat(characters)
    }

    fn wide(characters: usize) -> String {
        "😀".repeat(characters)
    }

    /// The largest message, with 20 reactions of users with these ids.
    fn largest(user: impl Fn(usize) -> String) -> Message {
        let user = |n: usize| UserId::parse(user(n)).unwrap();
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
                id: UserId::parse(escaped(128)).unwrap(),
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
        message.into()
    }

    /// The largest frame that has this message.
    fn frame(message: Message) -> Vec<u8> {
        let event = Event::ConversationUpdated {
            conversation_id: ConversationId::new(),
            last_seq: Seq(i64::MAX),
            unread_count: i64::MAX,
            last_message: message,
        };
        let id = Some(escaped(64).try_into().unwrap());
        serde_json::to_vec(&Answer { id, event }).unwrap()
    }

    #[test]
    fn the_largest_message_fits_into_a_frame() {
        for length in [1, 36, 100, 128] {
            let message = largest(|n| format!("{n}{}", "u".repeat(length - 1)));
            assert_eq!(message.reactions.len(), 20);
            if length == 36 {
                assert!(
                    (1..10).contains(&message.reactions[0].user_ids.len()),
                    "as many as there is room for"
                );
            }
            let frame = frame(message);
            assert!(frame.len() < 32 * 1024, "{}", frame.len());
            // A page of 100 is a string in the JSON that a function returns. Lambda takes 6 MB of that.
            let in_json = serde_json::to_string(std::str::from_utf8(&frame).unwrap()).unwrap();
            assert!(100 * in_json.len() < 6 * 1024 * 1024, "{}", in_json.len());
        }
        let frame = frame(largest(|n| format!("{}{n}", escaped(127))));
        assert!(frame.len() < 32 * 1024, "{}", frame.len());
    }

    #[test]
    fn a_usual_message_shows_ten_users_of_each_of_twenty_reactions() {
        let user = |n: usize| UserId::parse(format!("0197f1c0-0000-7000-8000-{n:012}")).unwrap();
        let mut message = largest(|n| n.to_string());
        message.content = "shall we?".to_owned();
        for of in &mut message.reactions {
            of.user_ids = (0..10).map(user).collect();
        }
        message.limit_users();
        assert!(message.reactions.iter().all(|of| of.user_ids.len() == 10));
    }
}

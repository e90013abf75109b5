//! A message, as it is sent and as it is stored.

use crate::text::{printable, text_newtype};
use crate::{Change, ConversationId, Invalid, MessageId, Metadata, Timestamp, User, UserId};

text_newtype! {
    /// The text of a message: 1 to 2000 characters, not only white space. Kept exactly as it was sent.
    Content, 2000, |text| {
        if text.trim().is_empty() { Err(Invalid::Blank) } else { Ok(text) }
    }
}

text_newtype! {
    /// The name that a client gives to a message, by which a repeated send is recognised: 1 to 64 characters.
    ClientMessageId, 64, Ok
}

text_newtype! {
    /// A reaction to a message, for example an emoji: 1 to 32 characters without control characters, not only
    /// white space.
    Reaction, 32, |text| {
        if text.trim().is_empty() { Err(Invalid::Blank) } else { printable(text) }
    }
}

/// The most different reactions of a message.
pub const MAX_REACTIONS: i64 = 20;

/// The number of a message in its conversation: 1, 2, 3 and so on without gaps. 0 stands for "before the
/// first".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Seq(pub i64);

/// A message that is to be stored.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Made before the message is stored, so that a try whose outcome is unknown can be repeated.
    pub id: MessageId,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The sender, as their token names them.
    pub sender_id: UserId,
    /// The text.
    pub content: Content,
    /// The client's name for the message.
    pub client_message_id: Option<ClientMessageId>,
    /// The message that this one answers.
    pub reply_to: Option<MessageId>,
    /// The data of the application.
    pub metadata: Option<Metadata>,
}

/// A change of a stored message.
#[derive(Clone, Debug)]
pub enum MessageChange {
    /// Its sender edits it.
    Edit {
        /// The new text.
        content: Content,
        /// The new data of the application, or none; `None` keeps what there is.
        metadata: Option<Option<Metadata>>,
        /// The latest change that the sender knows of, or none. If there was another one, nothing is done.
        if_change: Option<Option<Change>>,
    },
    /// Its sender or an owner of the group deletes it.
    Delete,
    /// A participant reacts to it.
    AddReaction(Reaction),
    /// A participant removes a reaction.
    RemoveReaction(Reaction),
}

/// A stored message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The id.
    pub id: MessageId,
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The number in the conversation.
    pub seq: Seq,
    /// The sender, with their profile as it is now.
    pub sender: User,
    /// The text; empty once the message is deleted.
    pub content: Content,
    /// The client's name for the message.
    pub client_message_id: Option<ClientMessageId>,
    /// When the message was stored.
    pub created_at: Timestamp,
    /// In a conversation of two: when the other participant read it.
    pub read_at: Option<Timestamp>,
    /// The message that this one answers.
    pub reply_to: Option<MessageId>,
    /// The data of the application.
    pub metadata: Option<Metadata>,
    /// The reactions, the oldest first.
    pub reactions: Vec<ReactionCount>,
    /// When the message was last edited.
    pub edited_at: Option<Timestamp>,
    /// When the message was deleted.
    pub deleted_at: Option<Timestamp>,
    /// The number that the latest change of the message took in the conversation.
    pub change: Option<Change>,
}

/// A reaction to a message, and who has given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactionCount {
    /// The reaction.
    pub reaction: Reaction,
    /// How many users have given it.
    pub count: i64,
    /// The first ten of them.
    pub user_ids: Vec<UserId>,
}

/// Messages that a participant has read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// The participant who has read them.
    pub reader_id: UserId,
    /// The number of the last of them; all messages before it are read too.
    pub up_to_seq: Seq,
    /// When they were read.
    pub read_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_counts_characters_not_bytes() {
        assert!(Content::parse("😀".repeat(2000)).is_ok());
        assert_eq!(Content::parse("a".repeat(2001)), Err(Invalid::TooLong { limit: 2000, actual: 2001 }));
    }

    #[test]
    fn content_is_kept_as_sent() {
        assert_eq!(Content::parse("  hi \n").unwrap().as_str(), "  hi \n");
    }

    #[test]
    fn content_without_anything_to_read_is_refused() {
        assert_eq!(Content::parse(""), Err(Invalid::Empty));
        assert_eq!(Content::parse(" \t\n\u{3000}"), Err(Invalid::Blank));
        assert_eq!(Content::parse("a\0b"), Err(Invalid::Nul));
    }

    #[test]
    fn client_message_id_has_1_to_64_characters() {
        assert!(ClientMessageId::parse("é".repeat(64)).is_ok());
        assert_eq!(ClientMessageId::parse(""), Err(Invalid::Empty));
        assert_eq!(ClientMessageId::parse("a".repeat(65)), Err(Invalid::TooLong { limit: 64, actual: 65 }));
    }
}

//! A message, as it is sent and as it is stored.

use crate::text::text_newtype;
use crate::{ConversationId, Invalid, MessageId, Timestamp, User, UserId};

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
    /// The text.
    pub content: Content,
    /// The client's name for the message.
    pub client_message_id: Option<ClientMessageId>,
    /// When the message was stored.
    pub created_at: Timestamp,
    /// In a conversation of two: when the other participant read it.
    pub read_at: Option<Timestamp>,
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

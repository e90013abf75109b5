//! Conversations, who takes part in them, and places in a list of conversations.

use std::fmt;
use std::str::FromStr;

use time::macros::datetime;
use uuid::Uuid;

use crate::text::{printable, text_newtype};
use crate::{AvatarUrl, ConversationId, Invalid, Message, Seq, Timestamp, User, UserId};

text_newtype! {
    /// The name of a group: 1 to 200 characters, not only white space.
    Title, 200, |text| {
        if text.trim().is_empty() { Err(Invalid::Blank) } else { printable(text) }
    }
}

text_newtype! {
    /// The name that a client gives to a group that it makes, by which a repeat is recognised: 1 to 64
    /// characters.
    ClientConversationId, 64, Ok
}

/// The number of a change of a conversation: 1, 2, 3 and so on without gaps. 0 stands for "before the first".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change(pub i64);

/// What a participant may do in a group. In a conversation of two both are members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Role {
    /// Changes the title, the avatar and the participants.
    Owner,
    /// Reads and writes messages.
    Member,
}

impl Role {
    /// The role as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }
}

/// What a conversation is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The conversation of two users.
    Direct {
        /// The other one.
        other: User,
        /// Whether one of the two has blocked the other.
        is_blocked: bool,
    },
    /// A conversation that users are added to and removed from.
    Group {
        /// The name.
        title: Title,
        /// The URL of the picture.
        avatar_url: Option<AvatarUrl>,
    },
}

/// A conversation, as one of its participants sees it.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The id.
    pub id: ConversationId,
    /// What it is.
    pub kind: Kind,
    /// The role of the participant.
    pub role: Role,
    /// How many users take part.
    pub participant_count: i32,
    /// The latest message that the participant sees.
    pub last_message: Option<Message>,
    /// The number of the first message that the participant sees.
    pub first_seq: Seq,
    /// The number of the latest message, 0 before the first.
    pub last_seq: Seq,
    /// The number of the latest change, 0 before the first.
    pub last_change: Change,
    /// How many messages the participant has not read.
    pub unread_count: i64,
}

/// A conversation without what is a participant's own.
#[derive(Clone, Debug)]
pub struct Outline {
    /// The id.
    pub id: ConversationId,
    /// The name of a group; `None` in a conversation of two.
    pub title: Option<Title>,
    /// The URL of the picture of a group.
    pub avatar_url: Option<AvatarUrl>,
    /// How many users take part.
    pub participant_count: i32,
    /// The latest message.
    pub last_message: Option<Message>,
    /// The number of the latest message, 0 before the first.
    pub last_seq: Seq,
    /// The number of the latest change, 0 before the first.
    pub last_change: Change,
}

/// The users who are told what happens in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listeners {
    /// These: all participants, on all their connections.
    Participants(Vec<UserId>),
    /// Those who have joined it, on these connections: it has more than [`MAX_NOTIFIED`] participants.
    Joined,
}

/// A change of who takes part in a group.
#[derive(Clone, Debug)]
pub struct RosterChange {
    /// Who was added.
    pub added: Vec<UserId>,
    /// Who was removed.
    pub removed: Vec<UserId>,
    /// Who has a new role.
    pub roles: Vec<(UserId, Role)>,
    /// How many users take part.
    pub participant_count: i32,
    /// The number of the change.
    pub last_change: Change,
    /// Who is told, besides those who were added or removed.
    pub listeners: Listeners,
}

/// The most participants of a conversation that are all told what happens in it: that many users and the
/// room of the conversation are read in one batch.
pub const MAX_NOTIFIED: i32 = 80;

/// The two participants of a conversation, ordered by the bytes of their ids. So two users have one
/// conversation, whichever of them asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participants {
    first: UserId,
    second: UserId,
}

/// A user cannot have a conversation with themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be another user")]
pub struct SameUser;

impl Participants {
    /// The pair of `one` and `other`, in either order.
    ///
    /// # Errors
    ///
    /// `one` and `other` are the same user.
    pub fn new(one: UserId, other: UserId) -> Result<Self, SameUser> {
        match one.cmp(&other) {
            std::cmp::Ordering::Less => Ok(Self { first: one, second: other }),
            std::cmp::Ordering::Greater => Ok(Self { first: other, second: one }),
            std::cmp::Ordering::Equal => Err(SameUser),
        }
    }

    /// The participant whose id sorts first.
    pub fn first(&self) -> &UserId {
        &self.first
    }

    /// The other participant.
    pub fn second(&self) -> &UserId {
        &self.second
    }
}

/// A position in a user's list of conversations, which is ordered by activity, newest first. Clients get it
/// as text and hand it back without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivityCursor {
    /// The last activity of the conversation at this position.
    pub activity: Timestamp,
    /// The conversation, which orders those with equal activity.
    pub id: ConversationId,
}

/// The text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor that was given out")]
pub struct NotACursor;

impl ActivityCursor {
    /// The position before the first conversation.
    pub const START: Self =
        Self { activity: datetime!(9999-12-31 23:59:59 UTC), id: ConversationId::from_uuid(Uuid::max()) };
}

impl fmt::Display for ActivityCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Postgres keeps microseconds.
        write!(f, "{}_{}", self.activity.unix_timestamp_nanos() / 1000, self.id)
    }
}

impl FromStr for ActivityCursor {
    type Err = NotACursor;
    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (microseconds, id) = text.split_once('_').ok_or(NotACursor)?;
        // Times before 1970 are refused: no activity is older, and this type reaches further back than
        // Postgres.
        let microseconds: i64 = microseconds.parse().ok().filter(|since| *since >= 0).ok_or(NotACursor)?;
        let activity =
            Timestamp::from_unix_timestamp_nanos(i128::from(microseconds) * 1000).map_err(|_| NotACursor)?;
        Ok(Self { activity, id: ConversationId::parse(id).map_err(|_| NotACursor)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    #[test]
    fn a_pair_is_the_same_from_both_sides() {
        assert_eq!(Participants::new(user("b"), user("a")), Participants::new(user("a"), user("b")));
    }

    #[test]
    fn order_is_byte_wise_as_in_the_database() {
        let pair = Participants::new(user("é"), user("Z")).unwrap();
        assert_eq!((pair.first().as_str(), pair.second().as_str()), ("Z", "é"));
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor =
            ActivityCursor { activity: datetime!(2026-11-22 12:00:00.123456 UTC), id: ConversationId::new() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert_eq!(ActivityCursor::START.to_string().parse(), Ok(ActivityCursor::START));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in [
            "",
            "_",
            "1",
            "x_0197f1c0-0000-7000-8000-000000000000",
            "99999999999999999999_x",
            "-1_0197f1c0-0000-7000-8000-000000000000",
            "9223372036854775807_0197f1c0-0000-7000-8000-000000000000",
        ] {
            assert_eq!(text.parse::<ActivityCursor>(), Err(NotACursor), "{text}");
        }
    }

    #[test]
    fn nobody_talks_to_themselves() {
        assert_eq!(Participants::new(user("a"), user("a")), Err(SameUser));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reading_of_cursors(text in any::<String>()) {
            if let Ok(cursor) = text.parse::<ActivityCursor>() {
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            }
        }

        #[test]
        fn every_place_has_a_cursor(microseconds in 0_i128..253_402_300_799_000_000, id in any::<u128>()) {
            let activity = Timestamp::from_unix_timestamp_nanos(microseconds * 1000).unwrap();
            let cursor = ActivityCursor { activity, id: ConversationId::from_uuid(Uuid::from_u128(id)) };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }
}

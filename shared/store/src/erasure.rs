//! Erasing and exporting users.
//!
//! An erasure is many small transactions, each of which leaves less to do. It finds what is left by looking
//! for it, so that it goes on wherever it was interrupted. The table `departures` lists the conversations
//! that a user has left or was removed from, where their messages may still be; a trigger fills it. A
//! statement that adds a user to a conversation locks the row of that user for a moment, so that it and an
//! erasure see each other.

use std::fmt;
use std::str::FromStr;

use domain::{
    ConversationId, Failure, Message, MessageId, NotACursor, Reaction, Role, Seq, Timestamp, User, UserId,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::pace::Pace;
use crate::pool::{Connection, Store};
use crate::rows;

/// A conversation that a user has left traces in.
#[derive(Clone, Copy, Debug)]
pub struct Whereabouts {
    /// The conversation.
    pub conversation: ConversationId,
    /// Whether the user takes part in it. Else they were removed.
    pub takes_part: bool,
}

/// What a conversation is to one of its participants.
#[derive(Clone, Copy, Debug)]
pub struct Participated {
    /// The conversation.
    pub conversation: ConversationId,
    /// The role.
    pub role: Role,
    /// When the user was added.
    pub joined_at: Timestamp,
    /// The number of the last message that the user has read.
    pub read_up_to: Seq,
}

/// A place in an export: what comes after it is on the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportPlace {
    /// A participation.
    Participation(ConversationId),
    /// A message.
    Message(ConversationId, Seq),
    /// A message that the user has reacted to.
    Reaction(MessageId),
}

/// A page of what a user did and is.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The user.
    pub user: User,
    /// Whom they block; on the first page only.
    pub blocks: Vec<UserId>,
    /// The conversations that they take part in.
    pub participations: Vec<Participated>,
    /// The messages that they have sent.
    pub messages: Vec<Message>,
    /// Their reactions.
    pub reactions: Vec<(MessageId, Reaction)>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<ExportPlace>,
}

impl ExportPlace {
    /// The place before everything.
    pub const START: Self = Self::Participation(ConversationId::from_uuid(Uuid::nil()));
}

impl fmt::Display for ExportPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Participation(conversation) => write!(f, "p_{conversation}"),
            Self::Message(conversation, seq) => write!(f, "m_{conversation}_{}", seq.0),
            Self::Reaction(message) => write!(f, "r_{message}"),
        }
    }
}

impl FromStr for ExportPlace {
    type Err = NotACursor;
    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let conversation = |id: &str| ConversationId::parse(id).map_err(|_| NotACursor);
        let mut parts = text.split('_');
        let place = match (parts.next(), parts.next(), parts.next()) {
            (Some("p"), Some(id), None) => Self::Participation(conversation(id)?),
            (Some("m"), Some(id), Some(seq)) => {
                Self::Message(conversation(id)?, Seq(seq.parse().map_err(|_| NotACursor)?))
            }
            (Some("r"), Some(id), None) => Self::Reaction(MessageId::parse(id).map_err(|_| NotACursor)?),
            _ => return Err(NotACursor),
        };
        if parts.next().is_some() { Err(NotACursor) } else { Ok(place) }
    }
}

impl Store {
    /// Begins to erase a user, or goes on: their profile, blocks and counts are gone, and nobody finds them.
    /// Does nothing if there is no such user.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn begin_erasure(&self, user: &UserId) -> Result<(), Failure> {
        self.run(|connection| async move {
            let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
                [(&user.as_str(), Type::TEXT)];
            let lock = "select from users where id = $1 for update";
            let begin = include_str!("begin_erasure.sql");
            connection.row_after_lock(lock, &parameters, begin, &parameters).await.map(drop)
        })
        .await
    }

    /// Some of the conversations that a user takes part in, or has left messages in.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn whereabouts_of(&self, user: &UserId) -> Result<Vec<Whereabouts>, Failure> {
        self.run(|connection| async move { whereabouts_of(&connection, user).await }).await
    }

    /// Erases what a user has said in a conversation that they do not take part in any more: some of their
    /// messages. Returns whether there may be more.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn erase_messages(
        &self,
        id: ConversationId,
        user: &UserId,
        pace: &mut Pace,
    ) -> Result<bool, Failure> {
        let step = pace.begin();
        let erasing = |connection| async move { erase_messages(&connection, id, user, step.rows).await };
        let erased = self.run(erasing).await?;
        Ok(pace.end(step, erased))
    }

    /// Some of the conversations in which a user has reacted.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn reacted_in(&self, user: &UserId) -> Result<Vec<ConversationId>, Failure> {
        self.run(|connection| async move {
            let sql = "select distinct messages.conversation_id from (\
                    select message_id from reactions where user_id = $1 limit 1000\
                ) as mine join messages on messages.id = mine.message_id";
            let rows = connection.rows(sql, &[(&user.as_str(), Type::TEXT)]).await?;
            rows.iter().map(|row| Ok(row.try_get::<_, Uuid>("conversation_id")?.into())).collect()
        })
        .await
    }

    /// Removes reactions that a user has given in a conversation: some of them. Returns whether there may be
    /// more.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn erase_reactions(
        &self,
        id: ConversationId,
        user: &UserId,
        pace: &mut Pace,
    ) -> Result<bool, Failure> {
        let step = pace.begin();
        let erasing = |connection| async move { erase_reactions(&connection, id, user, step.rows).await };
        let erased = self.run(erasing).await?;
        Ok(pace.end(step, erased))
    }

    /// Ends the erasure of a user, of whom nothing is left.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn end_erasure(&self, user: &UserId) -> Result<(), Failure> {
        self.run(|connection| async move {
            let parameters =
                [(&user.as_str() as _, Type::TEXT), (connection.records_events() as _, Type::BOOL)];
            connection.rows(include_str!("end_erasure.sql"), &parameters).await.map(drop)
        })
        .await
    }

    /// How many erasures have been going on for over a day.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn stuck_erasures(&self) -> Result<i64, Failure> {
        self.run(|connection| async move {
            let sql = "select count(*) from users where erasing_since < clock_timestamp() - interval '1 day'";
            connection.row(sql, &[]).await?.expect("a count is one row").try_get(0)
        })
        .await
    }

    /// A page of what a user did and is, at most `limit` of each. `None` if there is no such user.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn export(
        &self,
        user: &UserId,
        after: ExportPlace,
        limit: usize,
    ) -> Result<Option<Exported>, Failure> {
        self.run(|connection| async move { export(&connection, user, after, limit).await }).await
    }
}

async fn whereabouts_of(
    connection: &Connection,
    user: &UserId,
) -> Result<Vec<Whereabouts>, tokio_postgres::Error> {
    let sql = include_str!("whereabouts_of.sql");
    let rows = connection.rows(sql, &[(&user.as_str(), Type::TEXT)]).await?;
    let place = |row: &Row| {
        Ok(Whereabouts {
            conversation: row.try_get::<_, Uuid>("conversation_id")?.into(),
            takes_part: row.try_get("takes_part")?,
        })
    };
    rows.iter().map(place).collect()
}

async fn erase_messages(
    connection: &Connection,
    id: ConversationId,
    user: &UserId,
    limit: i64,
) -> Result<i64, tokio_postgres::Error> {
    let sql = include_str!("erase_messages.sql");
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&id.as_uuid(), Type::UUID), (&user.as_str(), Type::TEXT), (&limit, Type::INT8)];
    let row = connection.row_under_lock(id, sql, &parameters).await?;
    let erased = row.expect("a count is one row").try_get("erased")?;
    if erased < limit {
        let done = "delete from departures where user_id = $1 and conversation_id = $2";
        let parameters = [(&user.as_str() as _, Type::TEXT), (&id.as_uuid() as _, Type::UUID)];
        connection.rows(done, &parameters).await?;
    }
    Ok(erased)
}

/// Removes the reactions of a user from some messages of a conversation. Returns from how many.
async fn erase_reactions(
    connection: &Connection,
    id: ConversationId,
    user: &UserId,
    limit: i64,
) -> Result<i64, tokio_postgres::Error> {
    let sql = include_str!("erase_reactions.sql");
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&id.as_uuid(), Type::UUID), (&user.as_str(), Type::TEXT), (&limit, Type::INT8)];
    let row = connection.row_under_lock(id, sql, &parameters).await?;
    row.expect("a count is one row").try_get("erased")
}

async fn export(
    connection: &Connection,
    id: &UserId,
    after: ExportPlace,
    limit: usize,
) -> Result<Option<Exported>, tokio_postgres::Error> {
    let sql = "select id, name, display_name, avatar_url from users where id = $1 and erased_at is null";
    let Some(row) = connection.row(sql, &[(&id.as_str(), Type::TEXT)]).await? else { return Ok(None) };
    let mut page = Exported {
        user: rows::user(&row, "")?,
        blocks: Vec::new(),
        participations: Vec::new(),
        messages: Vec::new(),
        reactions: Vec::new(),
        next: None,
    };
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    match after {
        ExportPlace::Participation(after) => {
            if after == ConversationId::from_uuid(Uuid::nil()) {
                let sql = "select blocked_id from blocks where user_id = $1 order by blocked_id";
                let rows = connection.rows(sql, &[(&id.as_str(), Type::TEXT)]).await?;
                page.blocks =
                    rows.iter().map(|row| rows::user_id(row, "blocked_id")).collect::<Result<_, _>>()?;
            }
            let sql = "select conversation_id, role, joined_at, read_up_to from participants \
                where user_id collate \"POSIX\" = $1 and conversation_id > $2 \
                order by conversation_id limit $3";
            let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
                [(&id.as_str(), Type::TEXT), (&after.as_uuid(), Type::UUID), (&most, Type::INT8)];
            for row in connection.rows(sql, &parameters).await? {
                page.participations.push(Participated {
                    conversation: row.try_get::<_, Uuid>("conversation_id")?.into(),
                    role: rows::role(&row, "role")?,
                    joined_at: row.try_get("joined_at")?,
                    read_up_to: Seq(row.try_get("read_up_to")?),
                });
            }
            let last = page.participations.last().filter(|_| page.participations.len() == limit);
            page.next = Some(match last {
                Some(last) => ExportPlace::Participation(last.conversation),
                None => ExportPlace::Message(ConversationId::from_uuid(Uuid::nil()), Seq(0)),
            });
        }
        ExportPlace::Message(conversation, seq) => {
            let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
                (&id.as_str(), Type::TEXT),
                (&conversation.as_uuid(), Type::UUID),
                (&seq.0, Type::INT8),
                (&most, Type::INT8),
            ];
            let rows = connection.rows(include_str!("export_messages.sql"), &parameters).await?;
            page.messages = rows.iter().map(rows::message).collect::<Result<_, _>>()?;
            let last = page.messages.last().filter(|_| page.messages.len() == limit);
            page.next = Some(match last {
                Some(last) => ExportPlace::Message(last.conversation_id, last.seq),
                None => ExportPlace::Reaction(MessageId::from_uuid(Uuid::nil())),
            });
        }
        ExportPlace::Reaction(after) => {
            let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
                [(&id.as_str(), Type::TEXT), (&after.as_uuid(), Type::UUID), (&most, Type::INT8)];
            for row in connection.rows(include_str!("export_reactions.sql"), &parameters).await? {
                let reaction = Reaction::stored(row.try_get("reaction")?);
                page.reactions.push((row.try_get::<_, Uuid>("message_id")?.into(), reaction));
            }
            let mut messages: Vec<_> = page.reactions.iter().map(|(message, _)| *message).collect();
            messages.dedup();
            page.next =
                messages.last().filter(|_| messages.len() == limit).map(|last| ExportPlace::Reaction(*last));
        }
    }
    Ok(Some(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let (conversation, message) = (ConversationId::new(), MessageId::new());
        for place in [
            ExportPlace::START,
            ExportPlace::Participation(conversation),
            ExportPlace::Message(conversation, Seq(17)),
            ExportPlace::Reaction(message),
        ] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "p", "p_", "p_x", "m_0197f1c0-0000-7000-8000-000000000000", "r_1_2", "x_1"] {
            assert_eq!(text.parse::<ExportPlace>(), Err(NotACursor), "{text}");
        }
    }
}

//! Reading messages, and marking them as read.

use domain::{Change, ConversationId, Failure, Identity, Message, MessageId, Read, Seq, Timestamp, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::pool::{Connection, Store};
use crate::query::Query;
use crate::rows;
use crate::users::issued_at;

/// The statement of [`Store::mark_read`].
pub(crate) static MARK_READ: Query<3> =
    Query { sql: include_str!("mark_read.sql"), types: [Type::UUID, Type::TEXT, Type::INT8] };

/// The statement of [`Store::read_history`].
pub(crate) static READ_HISTORY: Query<8> = Query {
    sql: include_str!("read_history.sql"),
    types: [Type::UUID, Type::TEXT, Type::UUID, Type::INT8, Type::BOOL, Type::INT8, Type::BOOL, Type::INT8],
};

/// The part of a conversation that is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// The newest messages.
    Newest,
    /// The messages just before this place.
    Before(Place),
    /// The messages just after this place.
    After(Place),
}

/// A place in a conversation.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// That of a message.
    Message(MessageId),
    /// That of the message with this number, whether or not there is one.
    Seq(Seq),
}

/// A part of a conversation.
#[derive(Clone, Debug)]
pub struct History {
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction that was asked for.
    pub has_more: bool,
    /// The number of the first message that the reader sees.
    pub first_seq: Seq,
    /// The number of the latest change of the conversation, 0 before the first.
    pub last_change: Change,
    /// How far the reader has read.
    pub marked: Marked,
}

/// A position that a participant has read up to.
#[derive(Clone, Debug)]
pub struct Marked {
    /// Who is told: in a conversation of two both, in a group only the reader.
    pub told: Vec<UserId>,
    /// What was read.
    pub read: Read,
    /// Whether messages of others were unread before, or may have been: an earlier try of the same call may
    /// have marked them without an answer.
    pub changed: bool,
}

/// The result of reading a part of a conversation.
#[derive(Clone, Debug)]
pub enum Found {
    /// The part.
    History(History),
    /// The caller does not take part in the conversation.
    NotAParticipant,
    /// The conversation has no such message that the reader sees.
    NoSuchMessage,
}

impl Store {
    /// Marks the messages up to `up_to`, or all, as read. `None` if `reader` does not take part in the
    /// conversation.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn mark_read(
        &self,
        conversation: ConversationId,
        reader: &UserId,
        up_to: Option<Seq>,
    ) -> Result<Option<Marked>, Failure> {
        let (mut marked, repeated) = self
            .run_counted(
                |connection| async move { mark_read(&connection, conversation, reader, up_to).await },
            )
            .await?;
        marked.iter_mut().for_each(|marked| marked.changed |= repeated);
        Ok(marked)
    }

    /// Reads at most `limit` messages, and marks all messages as read if `marks`.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn read_history(
        &self,
        conversation: ConversationId,
        reader: &Identity,
        part: Part,
        limit: usize,
        marks: bool,
    ) -> Result<Found, Failure> {
        let call = |connection| async move {
            read_history(&connection, conversation, reader, part, limit, marks).await
        };
        let (mut found, repeated) = self.run_counted(call).await?;
        if let Found::History(history) = &mut found {
            history.marked.changed |= repeated;
        }
        Ok(found)
    }
}

async fn mark_read(
    connection: &Connection,
    conversation: ConversationId,
    reader: &UserId,
    up_to: Option<Seq>,
) -> Result<Option<Marked>, tokio_postgres::Error> {
    let up_to = up_to.map_or(i64::MAX, |seq| seq.0);
    let row = connection.row_of(&MARK_READ, [&conversation.as_uuid(), &reader.as_str(), &up_to]).await?;
    row.as_ref().map(|row| marked(row, conversation, reader)).transpose()
}

/// Reads one message more than `limit`, which tells whether there are more.
async fn read_history(
    connection: &Connection,
    conversation: ConversationId,
    reader: &Identity,
    part: Part,
    limit: usize,
    marks: bool,
) -> Result<Found, tokio_postgres::Error> {
    let (place, ends_there) = match part {
        Part::Newest => (Place::Seq(Seq(i64::MAX)), true),
        Part::Before(place) => (place, true),
        Part::After(place) => (place, false),
    };
    let (message, seq) = match place {
        Place::Message(id) => (Some(id.as_uuid()), None),
        Place::Seq(seq) => (None, Some(seq.0)),
    };
    let reader_id = &reader.user_id;
    let rows = connection
        .rows_of(
            &READ_HISTORY,
            [
                &conversation.as_uuid(),
                &reader_id.as_str(),
                &message,
                &seq,
                &ends_there,
                &(i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1),
                &marks,
                &issued_at(reader),
            ],
        )
        .await?;
    // One row tells where the conversation stands.
    let is_message = |row: &&Row| !matches!(row.try_get::<_, Option<i64>>("seq"), Ok(None));
    let Some(stand) = rows.iter().find(|row| !is_message(row)) else {
        return Ok(Found::NotAParticipant);
    };
    if !stand.try_get::<_, bool>("cursor_found")? {
        return Ok(Found::NoSuchMessage);
    }
    let marked = marked(stand, conversation, reader_id)?;
    let marks = Marks::read(stand)?;
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(is_message) {
        let message = rows::message_without_read_at(row)?;
        // This call has read the rest of what the other has sent, although its snapshot does not show it.
        let by_this = || marked.changed && marked.told.len() > 1 && message.sender.id != *reader_id;
        let read_at = marks.read_at(&message).or_else(|| by_this().then_some(marked.read.read_at));
        messages.push(Message { read_at, ..message });
    }
    messages.sort_unstable_by_key(|message| message.seq);
    let has_more = messages.len() > limit;
    if has_more {
        // The surplus message is the one farthest from the cursor.
        match part {
            Part::Newest | Part::Before(_) => drop(messages.remove(0)),
            Part::After(_) => drop(messages.pop()),
        }
    }
    Ok(Found::History(History {
        messages,
        has_more,
        first_seq: Seq(stand.try_get("first_seq")?),
        last_change: Change(stand.try_get("last_change")?),
        marked,
    }))
}

/// The marks of a conversation of two that tell when the messages of a page were read, in any order; none in
/// a group.
struct Marks(Vec<(UserId, Seq, Timestamp)>);

impl Marks {
    /// The marks in the first row of a page.
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let users = rows::user_ids(row.try_get::<_, Option<_>>("mark_user_ids")?.unwrap_or_default());
        let seqs: Vec<i64> = row.try_get::<_, Option<_>>("mark_seqs")?.unwrap_or_default();
        let times: Vec<Timestamp> = row.try_get::<_, Option<_>>("mark_times")?.unwrap_or_default();
        let marks = users.into_iter().zip(seqs).zip(times);
        Ok(Self(marks.map(|((user, seq), at)| (user, Seq(seq), at)).collect()))
    }

    /// The time of the first mark of the other participant that reached a message.
    fn read_at(&self, message: &Message) -> Option<Timestamp> {
        let reached =
            |(user, seq, _): &&(UserId, Seq, Timestamp)| *user != message.sender.id && *seq >= message.seq;
        self.0.iter().filter(reached).min_by_key(|(_, seq, _)| *seq).map(|(.., at)| *at)
    }
}

fn marked(
    row: &Row,
    conversation_id: ConversationId,
    reader: &UserId,
) -> Result<Marked, tokio_postgres::Error> {
    let pair = [row.try_get("first_user_id")?, row.try_get("second_user_id")?];
    // Who is apart gets no receipts of the other.
    let told = match pair {
        [Some(first), Some(second)] if !row.try_get::<_, bool>("is_blocked")? => {
            rows::user_ids(vec![first, second])
        }
        _ => vec![reader.clone()],
    };
    Ok(Marked {
        told,
        read: Read {
            conversation_id,
            reader_id: reader.clone(),
            up_to_seq: Seq(row.try_get("up_to")?),
            read_at: row.try_get("at")?,
        },
        changed: row.try_get("changed")?,
    })
}

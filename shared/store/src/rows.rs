//! Reading values from rows.

use std::time::Duration;

use domain::{
    AvatarUrl, ClientMessageId, Content, DisplayName, Message, Name, Participants, Profile, Seq, User, UserId,
};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// The message in a row, with the columns of its sender prefixed by `sender_`.
pub(crate) fn message(row: &Row) -> Result<Message, Error> {
    Ok(Message {
        id: row.try_get::<_, Uuid>("id")?.into(),
        conversation_id: row.try_get::<_, Uuid>("conversation_id")?.into(),
        seq: Seq(row.try_get("seq")?),
        sender: user(row, "sender_")?,
        content: Content::stored(row.try_get("content")?),
        client_message_id: row.try_get::<_, Option<_>>("client_message_id")?.map(ClientMessageId::stored),
        created_at: row.try_get("created_at")?,
        read_at: row.try_get("read_at")?,
    })
}

/// The participants of the conversation in a row.
pub(crate) fn participants(row: &Row) -> Result<Participants, Error> {
    let pair = Participants::new(user_id(row, "first_user_id")?, user_id(row, "second_user_id")?);
    Ok(pair.expect("conversations_pair_order keeps the two apart"))
}

/// The user in a row, with columns prefixed by `prefix`.
pub(crate) fn user(row: &Row, prefix: &str) -> Result<User, Error> {
    let column = |name: &str| row.try_get::<_, Option<String>>(format!("{prefix}{name}").as_str());
    Ok(User {
        id: user_id(row, &format!("{prefix}id"))?,
        profile: Profile {
            name: column("name")?.map(Name::stored),
            display_name: column("display_name")?.map(DisplayName::stored),
            avatar_url: column("avatar_url")?.map(AvatarUrl::stored),
        },
    })
}

/// The id of a user in a column.
pub(crate) fn user_id(row: &Row, column: &str) -> Result<UserId, Error> {
    let id: String = row.try_get(column)?;
    Ok(UserId::parse(id).expect("users_id_length holds what UserId asks for"))
}

/// The time until the minute ends; at least a millisecond, since it may have ended by now.
pub(crate) fn retry_after(row: &Row) -> Result<Duration, Error> {
    let milliseconds: Option<i64> = row.try_get("retry_after_ms")?;
    Ok(Duration::from_millis(milliseconds.and_then(|left| left.try_into().ok()).unwrap_or(0).max(1)))
}

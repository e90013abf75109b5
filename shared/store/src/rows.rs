//! Reading values from rows.

use std::collections::HashMap;
use std::time::Duration;

use domain::{
    AvatarUrl, Change, ClientMessageId, Content, Conversation, DisplayName, Kind, Listeners, Message,
    Metadata, Name, Profile, Reaction, ReactionCount, Role, Seq, Title, User, UserId,
};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// The message in a row, with the columns of its sender prefixed by `sender_`.
pub(crate) fn message(row: &Row) -> Result<Message, Error> {
    message_without_read_at(row)
        .and_then(|message| Ok(Message { read_at: row.try_get("read_at")?, ..message }))
}

/// The message in a row that does not tell when it was read.
pub(crate) fn message_without_read_at(row: &Row) -> Result<Message, Error> {
    Ok(Message {
        id: row.try_get::<_, Uuid>("id")?.into(),
        conversation_id: row.try_get::<_, Uuid>("conversation_id")?.into(),
        seq: Seq(row.try_get("seq")?),
        sender: user(row, "sender_")?,
        content: Content::stored(row.try_get("content")?),
        client_message_id: row.try_get::<_, Option<_>>("client_message_id")?.map(ClientMessageId::stored),
        created_at: row.try_get("created_at")?,
        read_at: None,
        reply_to: row.try_get::<_, Option<Uuid>>("reply_to")?.map(Into::into),
        metadata: row.try_get::<_, Option<_>>("metadata")?.map(Metadata::stored),
        reactions: reactions(row.try_get("reactions")?),
        edited_at: row.try_get("edited_at")?,
        deleted_at: row.try_get("deleted_at")?,
        change: row.try_get::<_, Option<_>>("change")?.map(Change),
    })
}

/// The reactions of a message, as `change_message.sql` has stored them.
fn reactions(json: Option<&str>) -> Vec<ReactionCount> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stored {
        reaction: String,
        count: i64,
        user_ids: Vec<String>,
    }
    let count = |Stored { reaction, count, user_ids: users }| ReactionCount {
        reaction: Reaction::stored(reaction),
        count,
        user_ids: user_ids(users),
    };
    let stored: Vec<Stored> = json.map_or_else(Vec::new, |json| {
        serde_json::from_str(json).expect("the statement writes it in this shape")
    });
    stored.into_iter().map(count).collect()
}

/// The users who see a message, unless they are too many; each with how many messages they have not read.
pub(crate) fn viewers(row: &Row) -> Result<(Listeners, HashMap<UserId, i64>), Error> {
    if row.try_get("is_large")? {
        return Ok((Listeners::Joined, HashMap::new()));
    }
    // Null if nobody who takes part now sees the message.
    let users = user_ids(row.try_get::<_, Option<_>>("user_ids")?.unwrap_or_default());
    let counts: Vec<i64> = row.try_get::<_, Option<_>>("unread_counts")?.unwrap_or_default();
    let unread = users.iter().cloned().zip(counts).collect();
    Ok((Listeners::Participants(users), unread))
}

/// The conversation in a row, as one of its participants sees it.
pub(crate) fn conversation(row: &Row) -> Result<Conversation, Error> {
    let has_message = row.try_get::<_, Option<Uuid>>("id")?.is_some();
    let kind = match row.try_get::<_, Option<String>>("title")? {
        Some(title) => Kind::Group {
            title: Title::stored(title),
            avatar_url: row.try_get::<_, Option<_>>("avatar_url")?.map(AvatarUrl::stored),
        },
        None => Kind::Direct { other: user(row, "other_")?, is_blocked: row.try_get("is_blocked")? },
    };
    Ok(Conversation {
        id: row.try_get::<_, Uuid>("page_id")?.into(),
        kind,
        role: role(row, "role")?,
        participant_count: row.try_get("participant_count")?,
        last_message: if has_message { Some(message(row)?) } else { None },
        first_seq: Seq(row.try_get("first_seq")?),
        last_seq: Seq(row.try_get("last_seq")?),
        last_change: Change(row.try_get("last_change")?),
        unread_count: row.try_get("unread_count")?,
    })
}

/// The role in a column.
pub(crate) fn role(row: &Row, column: &str) -> Result<Role, Error> {
    Ok(match row.try_get::<_, &str>(column)? {
        "owner" => Role::Owner,
        _ => Role::Member,
    })
}

/// The participants in `user_ids`, which is null if they are too many.
pub(crate) fn listeners(row: &Row) -> Result<Listeners, Error> {
    let ids: Option<Vec<String>> = row.try_get("user_ids")?;
    Ok(ids.map_or(Listeners::Joined, |ids| Listeners::Participants(user_ids(ids))))
}

/// Ids of users, as they are stored.
pub(crate) fn user_ids(ids: Vec<String>) -> Vec<UserId> {
    let stored = |id| UserId::parse(id).expect("users_id_length holds what UserId asks for");
    ids.into_iter().map(stored).collect()
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

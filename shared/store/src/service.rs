//! What backends do besides what users do.

use domain::{
    AvatarUrl, Change, ClientConversationId, ConversationId, DisplayName, Failure, Name, Outline, Seq, Title,
    User, UserId,
};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::groups::texts;
use crate::pool::{Connection, Store};
use crate::rows;

/// What is to be set of a profile; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ProfileChange {
    /// The full name, or none.
    pub name: Option<Option<Name>>,
    /// The short name, or none.
    pub display_name: Option<Option<DisplayName>>,
    /// The URL of the picture, or none.
    pub avatar_url: Option<Option<AvatarUrl>>,
}

/// A conversation that is to be made.
#[derive(Clone, Debug)]
pub struct NewConversation {
    /// The name of a group; `None` for the conversation of two.
    pub title: Option<Title>,
    /// The participants, each once, in the order of a pair.
    pub participants: Vec<UserId>,
    /// Those who are owners.
    pub owners: Vec<UserId>,
    /// The name that the backend gave to a group.
    pub client_conversation_id: Option<ClientConversationId>,
}

impl Store {
    /// Makes a user, or sets fields of their profile. The claims of tokens do not change those fields from
    /// then on.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn set_user(&self, id: &UserId, change: &ProfileChange) -> Result<User, Failure> {
        self.run(|connection| async move { set_user(&connection, id, change).await }).await
    }

    /// Refuses the tokens of a user that were issued until now, whether or not the user is known. Returns the
    /// second up to which they are refused, since 1970.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn revoke_tokens(&self, user: &UserId) -> Result<i64, Failure> {
        self.run(|connection| async move { revoke_tokens(&connection, user).await }).await
    }

    /// Makes a conversation, or finds it. Stores users who are not there yet. Returns the conversation, and
    /// whether it is new.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn make_conversation(&self, new: &NewConversation) -> Result<(ConversationId, bool), Failure> {
        let id = ConversationId::new();
        self.run(|connection| async move { make_conversation(&connection, id, new).await }).await
    }

    /// The conversation, if there is one.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn outline_of(&self, id: ConversationId) -> Result<Option<Outline>, Failure> {
        self.run(|connection| async move { outline_of(&connection, id).await }).await
    }
}

async fn set_user(
    connection: &Connection,
    id: &UserId,
    change: &ProfileChange,
) -> Result<User, tokio_postgres::Error> {
    let name = change.name.as_ref().map(Option::as_ref);
    let display_name = change.display_name.as_ref().map(Option::as_ref);
    let avatar_url = change.avatar_url.as_ref().map(Option::as_ref);
    let row = connection
        .row(
            include_str!("set_user.sql"),
            &[
                (&id.as_str(), Type::TEXT),
                (&name.is_some(), Type::BOOL),
                (&name.flatten().map(Name::as_str), Type::TEXT),
                (&display_name.is_some(), Type::BOOL),
                (&display_name.flatten().map(DisplayName::as_str), Type::TEXT),
                (&avatar_url.is_some(), Type::BOOL),
                (&avatar_url.flatten().map(AvatarUrl::as_str), Type::TEXT),
            ],
        )
        .await?;
    rows::user(&row.expect("it returns what it has written"), "")
}

async fn revoke_tokens(connection: &Connection, user: &UserId) -> Result<i64, tokio_postgres::Error> {
    let row = connection.row(include_str!("revoke_tokens.sql"), &[(&user.as_str(), Type::TEXT)]).await?;
    row.expect("it returns what it has written").try_get("revoked_at")
}

async fn make_conversation(
    connection: &Connection,
    id: ConversationId,
    new: &NewConversation,
) -> Result<(ConversationId, bool), tokio_postgres::Error> {
    let row = connection
        .row(
            include_str!("make_conversation.sql"),
            &[
                (&id.as_uuid(), Type::UUID),
                (&new.title.as_ref().map(Title::as_str), Type::TEXT),
                (&new.client_conversation_id.as_ref().map(ClientConversationId::as_str), Type::TEXT),
                (&texts(&new.participants), Type::TEXT_ARRAY),
                (&texts(&new.owners), Type::TEXT_ARRAY),
                (connection.records_events(), Type::BOOL),
            ],
        )
        .await?
        .expect("a select from nothing gives one row");
    Ok(match row.try_get::<_, Option<Uuid>>("found")? {
        Some(found) if found != id.as_uuid() => (found.into(), false),
        // An earlier try of this call has made it.
        _ => (id, true),
    })
}

async fn outline_of(
    connection: &Connection,
    id: ConversationId,
) -> Result<Option<Outline>, tokio_postgres::Error> {
    let row = connection.row(include_str!("outline_of.sql"), &[(&id.as_uuid(), Type::UUID)]).await?;
    let outline = |row: tokio_postgres::Row| {
        let has_message = row.try_get::<_, Option<Uuid>>("id")?.is_some();
        Ok(Outline {
            id,
            title: row.try_get::<_, Option<_>>("title")?.map(Title::stored),
            avatar_url: row.try_get::<_, Option<_>>("avatar_url")?.map(AvatarUrl::stored),
            participant_count: row.try_get("participant_count")?,
            last_message: if has_message { Some(rows::message(&row)?) } else { None },
            last_seq: Seq(row.try_get("last_seq")?),
            last_change: Change(row.try_get("last_change")?),
        })
    };
    row.map(outline).transpose()
}

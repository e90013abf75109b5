//! Users and their contacts.
//!
//! The tokens of a user are revoked in Postgres and in DynamoDB. Every `$connect` and every HTTP request of a
//! user executes a statement that looks whether the token is revoked, and aborts if so (`token_revoked`).
//! Frames do not: a revocation closes the connections of the user, and in DynamoDB the item of the user
//! refuses the lease of a connection whose token is revoked.

use domain::{Contacts, Failure, Identity, MAX_NOTIFIED, Profile, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::pool::{Connection, Store};
use crate::query::Query;
use crate::rows;

/// The number of contacts to whom a user's presence is announced: those with the latest activity.
const CONTACTS: i64 = 500;

/// The statement of [`Store::welcome`].
pub(crate) static WELCOME: Query<7> = Query {
    sql: include_str!("welcome.sql"),
    types: [Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::INT8, Type::INT4, Type::INT8],
};

/// The statement of [`Store::contacts_of`].
pub(crate) static CONTACTS_OF: Query<3> =
    Query { sql: include_str!("contacts_of.sql"), types: [Type::TEXT, Type::INT8, Type::INT4] };

impl Store {
    /// Stores a user with the profile of their token. Returns the contacts, as [`Self::contacts_of`] does.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn welcome(&self, user: &Identity, profile: &Profile) -> Result<Contacts, Failure> {
        self.run(|connection| async move { welcome(&connection, user, profile).await }).await
    }

    /// The users who are told of a user's presence.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn contacts_of(&self, id: &UserId) -> Result<Contacts, Failure> {
        self.run(|connection| async move { contacts_of(&connection, id).await }).await
    }
}

async fn welcome(
    connection: &Connection,
    user: &Identity,
    profile: &Profile,
) -> Result<Contacts, tokio_postgres::Error> {
    let [name, display_name, avatar_url] = columns(profile);
    let rows = connection
        .rows_of(
            &WELCOME,
            [
                &user.user_id.as_str(),
                &name,
                &display_name,
                &avatar_url,
                &CONTACTS,
                &MAX_NOTIFIED,
                &issued_at(user),
            ],
        )
        .await?;
    contacts(&rows)
}

async fn contacts_of(connection: &Connection, id: &UserId) -> Result<Contacts, tokio_postgres::Error> {
    let rows = connection.rows_of(&CONTACTS_OF, [&id.as_str(), &CONTACTS, &MAX_NOTIFIED]).await?;
    contacts(&rows)
}

fn contacts(rows: &[Row]) -> Result<Contacts, tokio_postgres::Error> {
    let mut contacts = Contacts::default();
    for row in rows {
        let list = if row.try_get("is_apart")? { &mut contacts.apart } else { &mut contacts.users };
        list.push(rows::user_id(row, "contact")?);
    }
    Ok(contacts)
}

/// When the token was issued, as a parameter of a statement that refuses it if it is revoked.
pub(crate) fn issued_at(user: &Identity) -> i64 {
    user.issued_at.unwrap_or(i64::MIN)
}

/// The fields of a profile as parameters of a statement.
pub(crate) fn columns(profile: &Profile) -> [Option<&str>; 3] {
    [
        profile.name.as_ref().map(domain::Name::as_str),
        profile.display_name.as_ref().map(domain::DisplayName::as_str),
        profile.avatar_url.as_ref().map(domain::AvatarUrl::as_str),
    ]
}

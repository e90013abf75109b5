//! Users and their contacts.

use domain::{Failure, Profile, UserId};
use tokio_postgres::types::Type;

use crate::pool::{Connection, Store};
use crate::rows;

/// How many contacts are told that a user went online or offline: those with the latest activity.
const CONTACTS: i64 = 500;

impl Store {
    /// Makes sure that the user exists and that their profile is what their token says; their contacts, as in
    /// [`Self::contacts_of`].
    pub async fn welcome(&self, id: &UserId, profile: &Profile) -> Result<Vec<UserId>, Failure> {
        self.run(|connection| async move { welcome(&connection, id, profile).await }).await
    }

    /// The users who share a conversation with this one, at most the 500 with the latest activity.
    pub async fn contacts_of(&self, id: &UserId) -> Result<Vec<UserId>, Failure> {
        self.run(|connection| async move { contacts_of(&connection, id).await }).await
    }
}

async fn welcome(
    connection: &Connection,
    id: &UserId,
    profile: &Profile,
) -> Result<Vec<UserId>, tokio_postgres::Error> {
    let [name, display_name, avatar_url] = columns(profile);
    let rows = connection
        .rows(
            include_str!("welcome.sql"),
            &[
                (&id.as_str(), Type::TEXT),
                (&name, Type::TEXT),
                (&display_name, Type::TEXT),
                (&avatar_url, Type::TEXT),
                (&CONTACTS, Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(|row| rows::user_id(row, "contact")).collect()
}

async fn contacts_of(connection: &Connection, id: &UserId) -> Result<Vec<UserId>, tokio_postgres::Error> {
    let sql = include_str!("contacts_of.sql");
    let rows = connection.rows(sql, &[(&id.as_str(), Type::TEXT), (&CONTACTS, Type::INT8)]).await?;
    rows.iter().map(|row| rows::user_id(row, "contact")).collect()
}

/// The parts of a profile as the parameters of a statement.
pub(crate) fn columns(profile: &Profile) -> [Option<&str>; 3] {
    [
        profile.name.as_ref().map(domain::Name::as_str),
        profile.display_name.as_ref().map(domain::DisplayName::as_str),
        profile.avatar_url.as_ref().map(domain::AvatarUrl::as_str),
    ]
}

//! The rows of users.

use domain::{Failure, Profile, User, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::Store;
use crate::pool::Connection;

/// Keeps what a token says of its user (`$1` to `$4`), and writes only what differs: a connect that changes
/// nothing takes no lock and makes no dead row. An absent claim keeps what is stored. To be followed by a
/// statement that uses no row of it.
pub(crate) const UPSERT_USER: &str = "
with said (id, name, display_name, avatar_url) as (
    values ($1::text, $2::text, $3::text, $4::text)
), upserted as (
    insert into users (id, name, display_name, avatar_url)
    select said.id, said.name, said.display_name, said.avatar_url
    from said
    left join users stored on stored.id = said.id
    where stored.id is null
       or (said.name is not null and said.name is distinct from stored.name)
       or (said.display_name is not null and said.display_name is distinct from stored.display_name)
       or (said.avatar_url is not null and said.avatar_url is distinct from stored.avatar_url)
    on conflict on constraint users_pkey do update set
        name = coalesce(excluded.name, users.name),
        display_name = coalesce(excluded.display_name, users.display_name),
        avatar_url = coalesce(excluded.avatar_url, users.avatar_url)
)";

/// How many contacts are told that a user went online or offline: those with the latest activity.
const CONTACTS: i64 = 500;

/// Both sides of the pair, each read from the front of its own index and merged, newest activity first.
fn contacts_of_user(user: &str, limit: &str) -> String {
    format!(
        "select contact
from (
    (select second_user_id as contact, coalesce(last_message_at, created_at) as activity
     from conversations
     where first_user_id = {user}
     order by coalesce(last_message_at, created_at) desc, id desc
     limit {limit})
    union all
    (select first_user_id, coalesce(last_message_at, created_at)
     from conversations
     where second_user_id = {user}
     order by coalesce(last_message_at, created_at) desc, id desc
     limit {limit})
) as sides
order by activity desc
limit {limit}"
    )
}

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

/// Two things in one round trip: a connect needs the contacts in most cases, and they are read from the front
/// of two indexes.
async fn welcome(
    connection: &Connection,
    id: &UserId,
    profile: &Profile,
) -> Result<Vec<UserId>, tokio_postgres::Error> {
    let [name, display_name, avatar_url] = columns(profile);
    let sql = &format!("{UPSERT_USER} {}", contacts_of_user("$1", "$5"));
    let rows = connection
        .rows(
            sql,
            &[
                (&id.as_str(), Type::TEXT),
                (&name, Type::TEXT),
                (&display_name, Type::TEXT),
                (&avatar_url, Type::TEXT),
                (&CONTACTS, Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(|row| user_id(row, "contact")).collect()
}

async fn contacts_of(connection: &Connection, id: &UserId) -> Result<Vec<UserId>, tokio_postgres::Error> {
    let sql = &contacts_of_user("$1", "$2");
    let rows = connection.rows(sql, &[(&id.as_str(), Type::TEXT), (&CONTACTS, Type::INT8)]).await?;
    rows.iter().map(|row| user_id(row, "contact")).collect()
}

/// A user whose columns are called by `prefix` and their names.
pub(crate) fn user(row: &Row, prefix: &str) -> Result<User, tokio_postgres::Error> {
    let column = |name: &str| row.try_get(format!("{prefix}{name}").as_str());
    Ok(User {
        id: user_id(row, &format!("{prefix}id"))?,
        name: column("name")?,
        display_name: column("display_name")?,
        avatar_url: column("avatar_url")?,
    })
}

/// A column that refers to `users`.
pub(crate) fn user_id(row: &Row, column: &str) -> Result<UserId, tokio_postgres::Error> {
    let id: String = row.try_get(column)?;
    Ok(UserId::parse(id).expect("users_id_length holds what UserId asks for"))
}

/// The parts of a profile as the parameters of [`UPSERT_USER`].
pub(crate) fn columns(profile: &Profile) -> [Option<&str>; 3] {
    [
        profile.name.as_ref().map(domain::Name::as_str),
        profile.display_name.as_ref().map(domain::DisplayName::as_str),
        profile.avatar_url.as_ref().map(domain::AvatarUrl::as_str),
    ]
}

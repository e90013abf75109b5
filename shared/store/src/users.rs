//! The rows of users.

use deadpool_postgres::GenericClient;
use domain::{Failure, Profile, UserId};

use crate::Store;

/// Keeps what a token says of its user (`$1` to `$4`), and writes only what differs: a connect that changes nothing takes no
/// lock and makes no dead row. An absent claim keeps what is stored. To be followed by a statement that uses no row of it.
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

impl Store {
    /// Makes sure that the user exists and that their profile is what their token says.
    pub async fn keep_user(&self, id: &UserId, profile: &Profile) -> Result<(), Failure> {
        self.run(|client| async move { keep_user(&client, id, profile).await }).await
    }
}

async fn keep_user(
    client: &impl GenericClient,
    id: &UserId,
    profile: &Profile,
) -> Result<(), tokio_postgres::Error> {
    let statement = client.prepare_cached(&format!("{UPSERT_USER} select")).await?;
    let [name, display_name, avatar_url] = columns(profile);
    client.execute(&statement, &[&id.as_str(), &name, &display_name, &avatar_url]).await?;
    Ok(())
}

/// The parts of a profile as the parameters of [`UPSERT_USER`].
pub(crate) fn columns(profile: &Profile) -> [Option<&str>; 3] {
    [
        profile.name.as_ref().map(domain::Name::as_str),
        profile.display_name.as_ref().map(domain::DisplayName::as_str),
        profile.avatar_url.as_ref().map(domain::AvatarUrl::as_str),
    ]
}

//! The rows of conversations and of who takes part in them.

use deadpool_postgres::GenericClient;
use domain::{ConversationId, Failure, Participants, Profile, Seq, UserId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::Store;
use crate::users::{UPSERT_USER, columns};

/// A conversation as one of its participants finds it.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The place of its latest message, 0 before the first.
    pub last_seq: Seq,
    /// Who takes part.
    pub participants: Participants,
}

/// What became of a find-or-create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindOrCreate {
    /// The pair had one.
    Found(ConversationId),
    /// The pair has one now.
    Created(ConversationId),
    /// The other user is unknown.
    NoSuchUser,
}

impl Store {
    /// The conversation, if `user` takes part in it.
    pub async fn conversation_of(
        &self,
        id: ConversationId,
        user: &UserId,
    ) -> Result<Option<Conversation>, Failure> {
        self.run(|client| async move { conversation_of(&client, id, user).await }).await
    }

    /// The one conversation of `caller` and `other`, made if there is none; `caller`'s profile is kept on the way.
    pub async fn find_or_create_conversation(
        &self,
        caller: &UserId,
        profile: &Profile,
        other: &UserId,
        pair: &Participants,
    ) -> Result<FindOrCreate, Failure> {
        let id = ConversationId::new();
        self.run(|client| async move { find_or_create(&client, id, caller, profile, other, pair).await })
            .await
    }
}

/// The participant check rides on the primary key: one row, found or not.
async fn conversation_of(
    client: &impl GenericClient,
    id: ConversationId,
    user: &UserId,
) -> Result<Option<Conversation>, tokio_postgres::Error> {
    let statement = client
        .prepare_cached(
            "select last_seq, first_user_id, second_user_id
             from conversations
             where id = $1 and $2 in (first_user_id, second_user_id)",
        )
        .await?;
    let row = client.query_opt(&statement, &[&id.as_uuid(), &user.as_str()]).await?;
    row.map(|row| {
        Ok(Conversation { last_seq: Seq(row.try_get("last_seq")?), participants: participants(&row)? })
    })
    .transpose()
}

/// One statement, so that a new user, their conversation and its participants are there together or not at all. A pair that is
/// made from both sides at once meets `conversations_pair_key`: the later statement aborts as a whole, and its repeat finds the
/// other's row, which its own snapshot could not show.
async fn find_or_create(
    client: &impl GenericClient,
    id: ConversationId,
    caller: &UserId,
    profile: &Profile,
    other: &UserId,
    pair: &Participants,
) -> Result<FindOrCreate, tokio_postgres::Error> {
    let statement = client
        .prepare_cached(&format!(
            "{UPSERT_USER}, other as (
                 select id from users where id = $5
             ), found as (
                 select id from conversations where first_user_id = $6 and second_user_id = $7
             ), created as (
                 insert into conversations (id, first_user_id, second_user_id)
                 select $8, $6, $7 from other where not exists (select from found)
                 returning id
             ), joined as (
                 insert into participants (conversation_id, user_id)
                 select created.id, member.id from created, (values ($6), ($7)) as member (id)
             )
             select (select id from found) as found, (select id from created) as created"
        ))
        .await?;
    let [name, display_name, avatar_url] = columns(profile);
    let (first, second) = (pair.first().as_str(), pair.second().as_str());
    let row = client
        .query_one(
            &statement,
            &[
                &caller.as_str(),
                &name,
                &display_name,
                &avatar_url,
                &other.as_str(),
                &first,
                &second,
                &id.as_uuid(),
            ],
        )
        .await?;
    Ok(match (row.try_get::<_, Option<Uuid>>("found")?, row.try_get::<_, Option<Uuid>>("created")?) {
        (Some(found), _) => FindOrCreate::Found(found.into()),
        (None, Some(created)) => FindOrCreate::Created(created.into()),
        (None, None) => FindOrCreate::NoSuchUser,
    })
}

/// The pair that a row of `conversations` holds.
pub(crate) fn participants(row: &Row) -> Result<Participants, tokio_postgres::Error> {
    let pair = Participants::new(user_id(row, "first_user_id")?, user_id(row, "second_user_id")?);
    Ok(pair.expect("conversations_pair_order keeps the two apart"))
}

/// A column that refers to `users`.
pub(crate) fn user_id(row: &Row, column: &str) -> Result<UserId, tokio_postgres::Error> {
    let id: String = row.try_get(column)?;
    Ok(UserId::parse(id).expect("users_id_length holds what UserId asks for"))
}

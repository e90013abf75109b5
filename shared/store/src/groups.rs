//! Groups and their participants.
//!
//! Every call that changes a group locks the row of its conversation first. So it sees who takes part when
//! its turn comes. One that adds or removes somebody counts `roster` up: a send that waited for the row
//! compares it, since its snapshot is older than the change.
//!
//! A participant's row says from which message on they see the conversation (`first_seq`), how far they have
//! read (`read_up_to`), and how many messages they have sent, in all and up to there. The number of unread
//! messages is a subtraction, so a message writes one participant's row, however many there are. Only the
//! first message of a day writes all of them: the index of a user's list holds days, and a page sorts within
//! them. In a conversation of two, a move of a position past messages of the other is kept with its time
//! (`read_marks`), which gives `readAt`.
//!
//! A removal commits, then takes the connections of the user out of the room in DynamoDB, then answers. A
//! join asks Postgres, enters the room, and asks again: a removal that committed between the two is seen by
//! the second question, and a later one finds the connection in the room. A room says for each connection
//! from which message on its user sees the conversation, so that a message committed before somebody was
//! added is not pushed to them.

use std::time::Duration;

use domain::{
    AvatarUrl, Change, ClientConversationId, ConversationId, Failure, Identity, Listeners, MAX_NOTIFIED,
    Profile, Role, RosterChange, Seq, Timestamp, Title, User, UserId,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::pace::Pace;
use crate::pool::{Connection, Store};
use crate::rows;
use crate::users::{columns, issued_at};

/// Who changes the participants of a group.
#[derive(Clone, Copy, Debug)]
pub enum Actor<'a> {
    /// A user, who may do what their role allows.
    User(&'a Identity),
    /// A backend, which may do everything.
    Service,
    /// A backend that erases the participant, also from a conversation of two.
    Erasure,
}

impl Actor<'_> {
    /// The parameters of a statement: the user and when their token was issued.
    fn columns(&self) -> (Option<&str>, i64) {
        match self {
            Self::User(identity) => (Some(identity.user_id.as_str()), issued_at(identity)),
            Self::Service | Self::Erasure => (None, i64::MAX),
        }
    }
}

/// A group that is to be made.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// The name.
    pub title: Title,
    /// The URL of the picture.
    pub avatar_url: Option<AvatarUrl>,
    /// The participants besides the creator, each once.
    pub others: Vec<UserId>,
    /// The name that the client gave to it.
    pub client_conversation_id: Option<ClientConversationId>,
}

/// A group that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// An earlier call has made it.
    Found(ConversationId),
    /// It is new, with these participants besides who has made it.
    Created(ConversationId, Vec<UserId>),
}

/// What is to be changed of a group; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct GroupChange {
    /// The new name.
    pub title: Option<Title>,
    /// The new URL of the picture, or none.
    pub avatar_url: Option<Option<AvatarUrl>>,
}

/// A group after a change of its title or its avatar.
#[derive(Clone, Debug)]
pub struct ChangedGroup {
    /// The name.
    pub title: Title,
    /// The URL of the picture.
    pub avatar_url: Option<AvatarUrl>,
    /// How many users take part.
    pub participant_count: i32,
    /// The number of the change.
    pub last_change: Change,
    /// Who is told.
    pub listeners: Listeners,
}

/// The result of a removal.
#[derive(Clone, Debug)]
pub struct Removal {
    /// A value of the conversation's `roster` at which the user is known to be removed.
    pub roster: i64,
    /// Whether nobody takes part any more.
    pub is_ended: bool,
    /// What has changed, if anything has.
    pub change: Option<RosterChange>,
}

/// Why a group is not made or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The caller does not take part in the conversation. To the service: there is none.
    NotAParticipant,
    /// It is a conversation of two.
    Direct,
    /// The caller is not an owner.
    NotAnOwner,
    /// There is no such user.
    NoSuchUser(UserId),
    /// The user does not take part.
    NoSuchParticipant,
    /// It would have too many participants.
    TooManyParticipants,
    /// It would have no owner.
    OnlyOwner,
    /// The caller has added too many users in this minute.
    TooMany {
        /// The time until the minute ends.
        retry_after: Duration,
    },
}

/// A participant of a conversation.
#[derive(Clone, Debug)]
pub struct Participant {
    /// The user.
    pub user: User,
    /// The role.
    pub role: Role,
    /// When the user was added.
    pub joined_at: Timestamp,
    /// The number of the last message that the user has read.
    pub read_up_to: Seq,
    /// Whether the user has blocked who asks or is blocked by them.
    pub is_apart: bool,
}

impl Store {
    /// Makes a group, or finds the one that `creator` has made with the same client's name. Stores the
    /// profile of the creator. They may add `max_per_minute` users, or any number if that is 0.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn create_group(
        &self,
        creator: &Identity,
        profile: &Profile,
        group: &NewGroup,
        max_per_minute: u32,
    ) -> Result<Result<Made, Refusal>, Failure> {
        let id = ConversationId::new();
        self.run(|connection| async move {
            create_group(&connection, id, creator, profile, group, max_per_minute).await
        })
        .await
    }

    /// Changes the title or the avatar of a group. `None` if they are so already.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn change_group(
        &self,
        id: ConversationId,
        caller: &Identity,
        change: &GroupChange,
    ) -> Result<Result<Option<ChangedGroup>, Refusal>, Failure> {
        let call = |connection| async move { change_group(&connection, id, caller, change).await };
        let (changed, repeated) = self.run_counted(call).await?;
        Ok(changed.map(|(is_new, changed)| (is_new || repeated).then_some(changed)))
    }

    /// Adds users to a group of at most `max_participants`. They see what comes after. Returns the number of
    /// participants, and what has changed, if anything has. The caller may add `max_per_minute` users, or any
    /// number if that is 0.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn add_participants(
        &self,
        id: ConversationId,
        actor: Actor<'_>,
        users: &[UserId],
        max_per_minute: u32,
        max_participants: i32,
    ) -> Result<Result<(i32, Option<RosterChange>), Refusal>, Failure> {
        let call = |connection| async move {
            add_participants(&connection, id, actor, users, max_per_minute, max_participants).await
        };
        let (added, repeated) = self.run_counted(call).await?;
        Ok(added.map(|(is_new, mut change)| {
            if !is_new && repeated {
                // An earlier try may have added them.
                change.added = users.to_vec();
                change.roles = members(users);
            }
            (change.participant_count, (is_new || repeated).then_some(change))
        }))
    }

    /// Sets the role of a participant. `None` if they have it already.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn set_role(
        &self,
        id: ConversationId,
        actor: Actor<'_>,
        user: &UserId,
        role: Role,
    ) -> Result<Result<Option<RosterChange>, Refusal>, Failure> {
        let call = |connection| async move { set_role(&connection, id, actor, user, role).await };
        let (set, repeated) = self.run_counted(call).await?;
        Ok(set.map(|(is_new, change)| (is_new || repeated).then_some(change)))
    }

    /// Removes a participant. If nobody is left, [`Self::delete_ended`] does the rest.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn remove_participant(
        &self,
        id: ConversationId,
        actor: Actor<'_>,
        user: &UserId,
    ) -> Result<Result<Removal, Refusal>, Failure> {
        let call = |connection| async move { remove_participant(&connection, id, actor, user).await };
        let (removed, repeated) = self.run_counted(call).await?;
        let (is_new, roster, change) = match removed {
            Ok(Some(removed)) => removed,
            // The conversation is gone.
            Ok(None) => return Ok(Ok(Removal { roster: i64::MAX, is_ended: false, change: None })),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let is_ended = change.participant_count == 0;
        Ok(Ok(Removal { roster, is_ended, change: (is_new || repeated).then_some(change) }))
    }

    /// Deletes a conversation without participants, and its messages. It may be repeated.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn delete_ended(&self, id: ConversationId) -> Result<(), Failure> {
        let mut pace = Pace::default();
        while self.delete_some_of_ended(id, &mut pace).await? {}
        Ok(())
    }

    /// The same, of some of its messages. Returns whether there may be more; if the conversation has
    /// participants, there is nothing to do.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn delete_some_of_ended(&self, id: ConversationId, pace: &mut Pace) -> Result<bool, Failure> {
        let step = pace.begin();
        let deleting = |connection| async move { delete_ended(&connection, id, step.rows).await };
        let deleted = self.run(deleting).await?;
        pace.end(step, deleted);
        Ok(deleted > 0)
    }

    /// The participants of a conversation after one, by their ids, at most `limit`. `None` if the caller does
    /// not take part.
    ///
    /// # Errors
    ///
    /// Postgres did not answer, or not as it should.
    pub async fn participants_of(
        &self,
        id: ConversationId,
        caller: &Identity,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Option<Vec<Participant>>, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run(|connection| async move { participants_of(&connection, id, caller, after, limit).await })
            .await
    }
}

async fn create_group(
    connection: &Connection,
    id: ConversationId,
    creator: &Identity,
    profile: &Profile,
    group: &NewGroup,
    max_per_minute: u32,
) -> Result<Result<Made, Refusal>, tokio_postgres::Error> {
    let [name, display_name, avatar_url] = columns(profile);
    let row = connection
        .row(
            include_str!("create_group.sql"),
            &[
                (&creator.user_id.as_str(), Type::TEXT),
                (&name, Type::TEXT),
                (&display_name, Type::TEXT),
                (&avatar_url, Type::TEXT),
                (&id.as_uuid(), Type::UUID),
                (&group.title.as_str(), Type::TEXT),
                (&group.avatar_url.as_ref().map(AvatarUrl::as_str), Type::TEXT),
                (&texts(&group.others), Type::TEXT_ARRAY),
                (&group.client_conversation_id.as_ref().map(ClientConversationId::as_str), Type::TEXT),
                (&i32::try_from(max_per_minute).unwrap_or(i32::MAX), Type::INT4),
                (&issued_at(creator), Type::INT8),
                (connection.records_events(), Type::BOOL),
            ],
        )
        .await?
        .expect("a select from nothing gives one row");
    let [found, created] = [row.try_get::<_, Option<Uuid>>("found")?, row.try_get("created")?];
    let others = || row.try_get("others").map(rows::user_ids);
    Ok(match (found, created) {
        // By an earlier try of this call.
        (Some(found), _) if found == id.as_uuid() => Ok(Made::Created(id, others()?)),
        (Some(found), _) => Ok(Made::Found(found.into())),
        (None, Some(_)) => Ok(Made::Created(id, others()?)),
        (None, None) => Err(unknown_user(&row)?
            .map_or(Refusal::TooMany { retry_after: rows::retry_after(&row)? }, Refusal::NoSuchUser)),
    })
}

async fn change_group(
    connection: &Connection,
    id: ConversationId,
    caller: &Identity,
    change: &GroupChange,
) -> Result<Result<(bool, ChangedGroup), Refusal>, tokio_postgres::Error> {
    let avatar_url = change.avatar_url.as_ref().map(Option::as_ref);
    let row = connection
        .row_under_lock(
            id,
            include_str!("change_group.sql"),
            &[
                (&id.as_uuid(), Type::UUID),
                (&caller.user_id.as_str(), Type::TEXT),
                (&change.title.as_ref().map(Title::as_str), Type::TEXT),
                (&avatar_url.is_some(), Type::BOOL),
                (&avatar_url.flatten().map(AvatarUrl::as_str), Type::TEXT),
                (&MAX_NOTIFIED, Type::INT4),
                (&issued_at(caller), Type::INT8),
                (connection.records_events(), Type::BOOL),
            ],
        )
        .await?;
    let row = match owned_group(row)? {
        Ok(row) => row,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let changed = ChangedGroup {
        title: Title::stored(row.try_get("title")?),
        avatar_url: row.try_get::<_, Option<_>>("avatar_url")?.map(AvatarUrl::stored),
        participant_count: row.try_get("participant_count")?,
        last_change: Change(row.try_get("last_change")?),
        listeners: rows::listeners(&row)?,
    };
    Ok(Ok((row.try_get("is_changed")?, changed)))
}

async fn add_participants(
    connection: &Connection,
    id: ConversationId,
    actor: Actor<'_>,
    users: &[UserId],
    max_per_minute: u32,
    max_participants: i32,
) -> Result<Result<(bool, RosterChange), Refusal>, tokio_postgres::Error> {
    let (user, issued_at) = actor.columns();
    let row = connection
        .row_under_lock(
            id,
            include_str!("add_participants.sql"),
            &[
                (&id.as_uuid(), Type::UUID),
                (&user, Type::TEXT),
                (&texts(users), Type::TEXT_ARRAY),
                (&i32::try_from(max_per_minute).unwrap_or(i32::MAX), Type::INT4),
                (&max_participants, Type::INT4),
                (&MAX_NOTIFIED, Type::INT4),
                (&issued_at, Type::INT8),
                (connection.records_events(), Type::BOOL),
            ],
        )
        .await?;
    let row = match owned_group(row)? {
        Ok(row) => row,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(unknown) = unknown_user(&row)? {
        return Ok(Err(Refusal::NoSuchUser(unknown)));
    }
    if row.try_get("would_be_too_many")? {
        return Ok(Err(Refusal::TooManyParticipants));
    }
    if row.try_get("is_refused")? {
        return Ok(Err(Refusal::TooMany { retry_after: rows::retry_after(&row)? }));
    }
    let added = rows::user_ids(row.try_get("added")?);
    let change = RosterChange {
        roles: members(&added),
        added,
        removed: Vec::new(),
        participant_count: row.try_get("participant_count")?,
        last_change: Change(row.try_get("last_change")?),
        listeners: rows::listeners(&row)?,
    };
    Ok(Ok((row.try_get("is_changed")?, change)))
}

async fn set_role(
    connection: &Connection,
    id: ConversationId,
    actor: Actor<'_>,
    user: &UserId,
    role: Role,
) -> Result<Result<(bool, RosterChange), Refusal>, tokio_postgres::Error> {
    let (caller, issued_at) = actor.columns();
    let row = connection
        .row_under_lock(
            id,
            include_str!("set_role.sql"),
            &[
                (&id.as_uuid(), Type::UUID),
                (&caller, Type::TEXT),
                (&user.as_str(), Type::TEXT),
                (&role.as_str(), Type::TEXT),
                (&MAX_NOTIFIED, Type::INT4),
                (&issued_at, Type::INT8),
                (connection.records_events(), Type::BOOL),
            ],
        )
        .await?;
    let Some(row) = row else { return Ok(Err(Refusal::NotAParticipant)) };
    let old_role: Option<&str> = row.try_get("old_role")?;
    // An owner who stepped down may repeat the request, since the first answer may have been lost.
    let steps_down_again =
        caller == Some(user.as_str()) && role == Role::Member && old_role == Some("member");
    let refusal = match (row.try_get("is_group")?, rows::role(&row, "role")?, old_role) {
        (false, ..) => Some(Refusal::Direct),
        (true, Role::Member, _) if !steps_down_again => Some(Refusal::NotAnOwner),
        (true, _, None) => Some(Refusal::NoSuchParticipant),
        (true, _, Some(old)) => {
            let is_done = row.try_get("is_changed")? || old == role.as_str();
            (!is_done).then_some(Refusal::OnlyOwner)
        }
    };
    if let Some(refusal) = refusal {
        return Ok(Err(refusal));
    }
    let change = RosterChange {
        added: Vec::new(),
        removed: Vec::new(),
        roles: vec![(user.clone(), role)],
        participant_count: row.try_get("participant_count")?,
        last_change: Change(row.try_get("last_change")?),
        listeners: rows::listeners(&row)?,
    };
    Ok(Ok((row.try_get("is_changed")?, change)))
}

/// Whether it has changed anything, the roster, and the change. `None` if there is no such conversation.
type Removed = Option<(bool, i64, RosterChange)>;

async fn remove_participant(
    connection: &Connection,
    id: ConversationId,
    actor: Actor<'_>,
    user: &UserId,
) -> Result<Result<Removed, Refusal>, tokio_postgres::Error> {
    let (caller, issued_at) = actor.columns();
    let is_own = caller == Some(user.as_str());
    let erases = matches!(actor, Actor::Erasure);
    let row = connection
        .row_under_lock(
            id,
            include_str!("remove_participant.sql"),
            &[
                (&id.as_uuid(), Type::UUID),
                (&caller, Type::TEXT),
                (&user.as_str(), Type::TEXT),
                (&MAX_NOTIFIED, Type::INT4),
                (&issued_at, Type::INT8),
                (connection.records_events(), Type::BOOL),
                (&erases, Type::BOOL),
            ],
        )
        .await?;
    let Some(row) = row else {
        return Ok(if is_own || erases { Ok(None) } else { Err(Refusal::NotAParticipant) });
    };
    let role: Option<&str> = row.try_get("role")?;
    // Who does not take part may leave all the same, and learns nothing by it.
    if role.is_none() && !is_own {
        return Ok(Err(Refusal::NotAParticipant));
    }
    if role.is_some() && !erases && !row.try_get::<_, bool>("is_group")? {
        return Ok(Err(Refusal::Direct));
    }
    if !is_own && role != Some("owner") {
        return Ok(Err(Refusal::NotAnOwner));
    }
    let is_removed: bool = row.try_get("is_removed")?;
    if !is_removed && row.try_get("takes_part")? {
        return Ok(Err(Refusal::OnlyOwner));
    }
    let listeners = match rows::listeners(&row)? {
        Listeners::Participants(mut users) => {
            users.retain(|one| one != user);
            Listeners::Participants(users)
        }
        Listeners::Joined => Listeners::Joined,
    };
    let change = RosterChange {
        added: Vec::new(),
        removed: vec![user.clone()],
        roles: Vec::new(),
        participant_count: row.try_get("participant_count")?,
        last_change: Change(row.try_get("last_change")?),
        listeners,
    };
    Ok(Ok(Some((is_removed, row.try_get("roster")?, change))))
}

/// Deletes some messages of a conversation without participants. Returns how many.
async fn delete_ended(
    connection: &Connection,
    id: ConversationId,
    limit: i64,
) -> Result<i64, tokio_postgres::Error> {
    let sql = include_str!("delete_ended.sql");
    let row = connection.row(sql, &[(&id.as_uuid(), Type::UUID), (&limit, Type::INT8)]).await?;
    row.expect("a count is one row").try_get("deleted")
}

async fn participants_of(
    connection: &Connection,
    id: ConversationId,
    caller: &Identity,
    after: Option<&UserId>,
    limit: i64,
) -> Result<Option<Vec<Participant>>, tokio_postgres::Error> {
    let rows = connection
        .rows(
            include_str!("participants_of.sql"),
            &[
                (&id.as_uuid(), Type::UUID),
                (&caller.user_id.as_str(), Type::TEXT),
                (&after.map_or("", UserId::as_str), Type::TEXT),
                (&limit, Type::INT8),
                (&issued_at(caller), Type::INT8),
            ],
        )
        .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut page = Vec::with_capacity(rows.len());
    // A page after the last participant is one row without a user.
    for row in rows.iter().filter(|row| !matches!(row.try_get::<_, Option<&str>>("id"), Ok(None))) {
        page.push(Participant {
            user: rows::user(row, "")?,
            role: rows::role(row, "role")?,
            joined_at: row.try_get("joined_at")?,
            read_up_to: Seq(row.try_get("read_up_to")?),
            is_apart: row.try_get("is_apart")?,
        });
    }
    Ok(Some(page))
}

/// The row of a statement that only an owner of a group may execute.
fn owned_group(row: Option<Row>) -> Result<Result<Row, Refusal>, tokio_postgres::Error> {
    let Some(row) = row else { return Ok(Err(Refusal::NotAParticipant)) };
    Ok(match (row.try_get("is_group")?, rows::role(&row, "role")?) {
        (false, _) => Err(Refusal::Direct),
        (true, Role::Member) => Err(Refusal::NotAnOwner),
        (true, Role::Owner) => Ok(row),
    })
}

fn unknown_user(row: &Row) -> Result<Option<UserId>, tokio_postgres::Error> {
    let id: Option<String> = row.try_get("unknown_user_id")?;
    Ok(rows::user_ids(id.into_iter().collect()).pop())
}

fn members(users: &[UserId]) -> Vec<(UserId, Role)> {
    users.iter().map(|user| (user.clone(), Role::Member)).collect()
}

pub(crate) fn texts(users: &[UserId]) -> Vec<&str> {
    users.iter().map(UserId::as_str).collect()
}

//! A change is committed before it is pushed. Whatever becomes of the pushes, the change has happened: a
//! client that misses one sees a higher `lastChange`.
//!
//! A removal commits, then takes the connections of the user out of the room, then answers. If it dies before
//! that, a repeat finds nothing to remove, and takes them out all the same.

use aws::Deliveries;
use domain::{
    Change, Conversation, ConversationId, Identity, Kind, Listeners, Role, RosterChange, Seq, UserId,
};
use edge::Error;
use edge::http::StatusCode;
use edge::token::Claims;
use protocol::rest::{self, Blocks, Done, ParticipantCount, ParticipantPage};
use protocol::{Event, Time};
use realtime::{Connections, Push, after_commit, tell_listeners, tell_roster_change};
use serde::Serialize;
use store::{
    Actor, BlockRefusal, Blocked, ChangedGroup, Changes, GroupChange, MAX_BLOCKED, Made, NewGroup, Refusal,
    Removal, Store,
};

use crate::request::{Asked, ChangesPage, Page};

/// The number of tries to store in the rooms who is apart, each of which fails if that changes meanwhile.
const TRIES: usize = 3;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) push: Push,
    pub(crate) deliveries: Deliveries,
    /// How many users a user may add in a minute, and conversations create; 0 for any number.
    pub(crate) max_per_minute: u32,
    /// How many participants a group may have.
    pub(crate) max_participants: i32,
}

/// The body of an answer.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Conversation(Box<rest::Conversation>),
    Changes(Box<rest::Changes>),
    Participants(ParticipantPage),
    ParticipantCount(ParticipantCount),
    Blocks(Blocks),
    Done(Done),
}

pub(crate) async fn handle(
    state: &State,
    claims: Claims,
    asked: Asked,
) -> Result<(StatusCode, Answer), Error> {
    let caller = &claims.identity;
    match asked {
        Asked::Create(group) => create(state, &claims, group).await,
        Asked::Get(id) => Ok((StatusCode::OK, conversation(state, id, caller).await?)),
        Asked::Change(id, change) => change_group(state, id, caller, &change).await,
        Asked::ListChanges(id, page) => list_changes(state, id, caller, &page).await,
        Asked::ListParticipants(id, page) => list_participants(state, id, caller, page).await,
        Asked::AddParticipants(id, users) => add_participants(state, id, caller, &users).await,
        Asked::SetRole(id, user, role) => set_role(state, id, caller, &user, role).await,
        Asked::RemoveParticipant(id, user) => remove_participant(state, id, caller, &user).await,
        Asked::ListBlocks => {
            let user_ids = state.store.blocked_by(caller).await?;
            Ok((StatusCode::OK, Answer::Blocks(Blocks { user_ids })))
        }
        Asked::SetBlock(user, blocks) => set_block(state, caller, &user, blocks).await,
    }
}

async fn create(state: &State, claims: &Claims, mut group: NewGroup) -> Result<(StatusCode, Answer), Error> {
    let caller = &claims.identity;
    group.others.retain(|user| *user != caller.user_id);
    let too_many = i32::try_from(group.others.len()).is_ok_and(|others| others >= state.max_participants);
    let made = match too_many {
        true => Err(Refusal::TooManyParticipants),
        false => state.store.create_group(caller, &claims.profile, &group, state.max_per_minute).await?,
    };
    let (id, others) = match made.map_err(|refusal| refused(state, refusal, "participantIds"))? {
        Made::Found(id) => return Ok((StatusCode::OK, conversation(state, id, caller).await?)),
        Made::Created(id, others) => (id, others),
    };
    let participants: Vec<_> = [caller.user_id.clone()].into_iter().chain(others).collect();
    let created = Conversation {
        id,
        kind: Kind::Group { title: group.title, avatar_url: group.avatar_url },
        role: Role::Owner,
        participant_count: i32::try_from(participants.len()).unwrap_or(i32::MAX),
        last_message: None,
        first_seq: Seq(1),
        last_seq: Seq(0),
        last_change: Change(1),
        unread_count: 0,
    };
    let role = |user: &UserId| if *user == caller.user_id { Role::Owner } else { Role::Member };
    let change = RosterChange {
        roles: participants.iter().map(|user| (user.clone(), role(user))).collect(),
        added: participants,
        removed: Vec::new(),
        participant_count: created.participant_count,
        last_change: created.last_change,
        listeners: Listeners::Participants(Vec::new()),
    };
    tell_roster(state, id, change).await;
    let created = rest::Conversation::new(created, false, None);
    Ok((StatusCode::CREATED, Answer::Conversation(Box::new(created))))
}

async fn change_group(
    state: &State,
    id: ConversationId,
    caller: &Identity,
    change: &GroupChange,
) -> Result<(StatusCode, Answer), Error> {
    let changed = state.store.change_group(id, caller, change).await?;
    if let Some(changed) = changed.map_err(|refusal| refused(state, refusal, "conversationId"))? {
        let ChangedGroup { title, avatar_url, participant_count, last_change, listeners } = changed;
        let event = Event::ConversationChanged {
            conversation_id: id,
            kind: rest::Kind::Group,
            title: Some(title.into()),
            avatar_url: avatar_url.map(String::from),
            participant_count,
            last_change,
        };
        tell(state, id, &listeners, &event).await;
    }
    Ok((StatusCode::OK, conversation(state, id, caller).await?))
}

async fn list_changes(
    state: &State,
    id: ConversationId,
    caller: &Identity,
    page: &ChangesPage,
) -> Result<(StatusCode, Answer), Error> {
    let found = state.store.changes_of(id, caller, page.after, page.limit).await?;
    let Changes { conversation, messages, last_change, has_more } =
        found.ok_or_else(Error::not_a_participant)?;
    let changes = rest::Changes {
        conversation: with_presence(state, conversation).await?,
        messages: messages.into_iter().map(Into::into).collect(),
        last_change,
        has_more,
    };
    Ok((StatusCode::OK, Answer::Changes(Box::new(changes))))
}

async fn list_participants(
    state: &State,
    id: ConversationId,
    caller: &Identity,
    page: Page,
) -> Result<(StatusCode, Answer), Error> {
    // One more than asked for tells whether there is another page.
    let found = state.store.participants_of(id, caller, page.after.as_ref(), page.limit + 1).await?;
    let mut found = found.ok_or_else(Error::not_a_participant)?;
    let has_more = found.len() > page.limit;
    found.truncate(page.limit);
    let next_cursor = found.last().filter(|_| has_more).map(|last| last.user.id.to_string());
    let users: Vec<_> = found.iter().map(|participant| participant.user.id.clone()).collect();
    let presence = state.connections.presence(&users).await?;
    let participants = found.into_iter().map(|participant| {
        let shown = Some(&participant.user.id).filter(|_| !participant.is_apart);
        let presence = shown.and_then(|user| presence.get(user)).copied().unwrap_or_default();
        rest::Participant {
            user: participant.user.into(),
            role: participant.role,
            joined_at: Time(participant.joined_at),
            read_up_to_seq: if participant.is_apart { Seq(0) } else { participant.read_up_to },
            online: presence.online,
            last_seen_at: presence.last_seen_at.map(Time),
        }
    });
    let page = ParticipantPage { participants: participants.collect(), next_cursor };
    Ok((StatusCode::OK, Answer::Participants(page)))
}

async fn add_participants(
    state: &State,
    id: ConversationId,
    caller: &Identity,
    users: &[UserId],
) -> Result<(StatusCode, Answer), Error> {
    let (per_minute, most) = (state.max_per_minute, state.max_participants);
    let added = state.store.add_participants(id, Actor::User(caller), users, per_minute, most).await?;
    let (participant_count, change) = added.map_err(|refusal| refused(state, refusal, "userIds"))?;
    if let Some(change) = change {
        tell_roster(state, id, change).await;
    }
    Ok((StatusCode::OK, Answer::ParticipantCount(ParticipantCount { participant_count })))
}

async fn set_role(
    state: &State,
    id: ConversationId,
    caller: &Identity,
    user: &UserId,
    role: Role,
) -> Result<(StatusCode, Answer), Error> {
    let set = state.store.set_role(id, Actor::User(caller), user, role).await?;
    if let Some(change) = set.map_err(|refusal| refused(state, refusal, "userId"))? {
        tell_roster(state, id, change).await;
    }
    Ok((StatusCode::OK, Answer::Done(Done {})))
}

async fn remove_participant(
    state: &State,
    id: ConversationId,
    caller: &Identity,
    user: &UserId,
) -> Result<(StatusCode, Answer), Error> {
    let removed = state.store.remove_participant(id, Actor::User(caller), user).await?;
    let Removal { roster, is_ended, change } =
        removed.map_err(|refusal| refused(state, refusal, "userId"))?;
    let expelled = state.connections.expel(user, id, roster).await;
    if let Some(change) = change {
        tell_roster(state, id, change).await;
    }
    // It is committed, but the room may still have them: a repeat empties it.
    expelled?;
    if is_ended {
        state.store.delete_ended(id).await?;
    }
    Ok((StatusCode::NO_CONTENT, Answer::Done(Done {})))
}

/// A block commits, then changes the rooms, then answers. If it dies before that, a repeat changes the rooms
/// all the same.
async fn set_block(
    state: &State,
    caller: &Identity,
    user: &UserId,
    blocks: bool,
) -> Result<(StatusCode, Answer), Error> {
    let own = &caller.user_id;
    if user == own {
        return Err(Error::invalid_request("userId: must be another user"));
    }
    let set = state.store.set_block(caller, user, blocks).await?;
    let Blocked { are_apart, direct, shared } = set.map_err(|refusal| match refusal {
        BlockRefusal::NoSuchUser => Error::not_found("userId: there is no such user"),
        BlockRefusal::TooMany => {
            Error::invalid_request(format!("userId: you block {MAX_BLOCKED} users already"))
        }
    })?;
    let connections = &state.connections;
    let leave_direct = async {
        match direct.filter(|_| are_apart) {
            Some((id, roster)) => {
                connections.expel(own, id, roster).await?;
                connections.expel(user, id, roster).await
            }
            None => Ok(()),
        }
    };
    leave_direct.await?;
    let mut are_apart = are_apart;
    for _ in 0..TRIES {
        connections.set_apart((own, user), &shared, are_apart).await?;
        // The other one may have blocked or unblocked meanwhile, and changed the rooms before.
        let now = state.store.are_apart(own, user).await?;
        if now == are_apart {
            return Ok((StatusCode::NO_CONTENT, Answer::Done(Done {})));
        }
        are_apart = now;
    }
    Err(Error::unavailable())
}

async fn conversation(state: &State, id: ConversationId, caller: &Identity) -> Result<Answer, Error> {
    let found = state.store.conversation_of(id, caller).await?.ok_or_else(Error::not_a_participant)?;
    Ok(Answer::Conversation(Box::new(with_presence(state, found).await?)))
}

async fn with_presence(state: &State, conversation: Conversation) -> Result<rest::Conversation, Error> {
    let presence = match &conversation.kind {
        Kind::Direct { is_blocked: true, .. } | Kind::Group { .. } => realtime::Presence::default(),
        Kind::Direct { other, .. } => {
            let presence = state.connections.presence(std::slice::from_ref(&other.id)).await?;
            presence.get(&other.id).copied().unwrap_or_default()
        }
    };
    Ok(rest::Conversation::new(conversation, presence.online, presence.last_seen_at.map(Time)))
}

async fn tell_roster(state: &State, id: ConversationId, change: RosterChange) {
    let telling = tell_roster_change(&state.connections, &state.push, id, change);
    let pushed = after_commit("pushing a change of participants", telling);
    tokio::join!(pushed, state.deliveries.start(Some(id)));
}

async fn tell(state: &State, id: ConversationId, listeners: &Listeners, event: &Event) {
    let telling = tell_listeners(&state.connections, &state.push, id, listeners, &[], event);
    let pushed = after_commit("pushing a change of a conversation", telling);
    tokio::join!(pushed, state.deliveries.start(Some(id)));
}

/// The answer to a refusal; `field` names the users.
fn refused(state: &State, refusal: Refusal, field: &str) -> Error {
    match refusal {
        Refusal::NotAParticipant => Error::not_a_participant(),
        Refusal::Direct => {
            Error::invalid_request("conversationId: a conversation of two has no title, owners or others")
        }
        Refusal::NotAnOwner => Error::not_an_owner(),
        Refusal::NoSuchUser(user) => Error::not_found(format!("{field}: there is no user {user}")),
        Refusal::NoSuchParticipant => Error::not_found(format!("{field}: this user does not take part")),
        Refusal::TooManyParticipants => Error::invalid_request(format!(
            "{field}: a conversation has at most {} participants",
            state.max_participants
        )),
        Refusal::OnlyOwner => Error::invalid_request(format!(
            "{field}: the only owner cannot stop being one while others take part: make another one owner \
                first"
        )),
        Refusal::TooMany { retry_after } => {
            let limit = state.max_per_minute;
            Error::rate_limited(
                format!("{limit} new participants a minute are enough: wait a little"),
                retry_after,
            )
        }
    }
}

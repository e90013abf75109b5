//! Conversations and their participants: as users change them, without the rights that those need.

use domain::{Change, ConversationId, Listeners, Role, RosterChange, UserId};
use edge::Error;
use edge::http::StatusCode;
use protocol::rest::{Done, ParticipantCount};
use realtime::{after_commit, tell_roster_change};
use store::{Actor, NewConversation, Refusal, Removal};

use crate::answer::Answer;
use crate::state::State;

pub(crate) async fn make(state: &State, new: &NewConversation) -> Result<(StatusCode, Answer), Error> {
    if i32::try_from(new.participants.len()).is_ok_and(|count| count > state.max_participants) {
        return Err(refused(state, Refusal::TooManyParticipants, "participantIds"));
    }
    let (id, is_new) = state.store.make_conversation(new).await?;
    if is_new && new.title.is_none() {
        state.deliveries.start(Some(id)).await;
    } else if is_new {
        let role = |user: &UserId| if new.owners.contains(user) { Role::Owner } else { Role::Member };
        let change = RosterChange {
            added: new.participants.clone(),
            removed: Vec::new(),
            roles: new.participants.iter().map(|user| (user.clone(), role(user))).collect(),
            participant_count: i32::try_from(new.participants.len()).unwrap_or(i32::MAX),
            last_change: Change(1),
            listeners: Listeners::Participants(Vec::new()),
        };
        tell_roster(state, id, change).await;
    }
    // All its participants may have left it meanwhile.
    let outline = state.store.outline_of(id).await?.ok_or_else(no_such_conversation)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Answer::Conversation(Box::new(outline.into()))))
}

pub(crate) async fn add_participants(
    state: &State,
    id: ConversationId,
    users: &[UserId],
) -> Result<(StatusCode, Answer), Error> {
    let added = state.store.add_participants(id, Actor::Service, users, 0, state.max_participants).await?;
    let (participant_count, change) = added.map_err(|refusal| refused(state, refusal, "userIds"))?;
    if let Some(change) = change {
        tell_roster(state, id, change).await;
    }
    Ok((StatusCode::OK, Answer::ParticipantCount(ParticipantCount { participant_count })))
}

pub(crate) async fn set_role(
    state: &State,
    id: ConversationId,
    user: &UserId,
    role: Role,
) -> Result<(StatusCode, Answer), Error> {
    let set = state.store.set_role(id, Actor::Service, user, role).await?;
    if let Some(change) = set.map_err(|refusal| refused(state, refusal, "userId"))? {
        tell_roster(state, id, change).await;
    }
    Ok((StatusCode::OK, Answer::Done(Done {})))
}

pub(crate) async fn remove_participant(
    state: &State,
    id: ConversationId,
    user: &UserId,
) -> Result<(StatusCode, Answer), Error> {
    if remove(state, id, user, Actor::Service).await? {
        state.store.delete_ended(id).await?;
    }
    Ok((StatusCode::NO_CONTENT, Answer::Done(Done {})))
}

/// Removes a participant. Returns whether the conversation has ended with them, and has to be deleted.
pub(crate) async fn remove(
    state: &State,
    id: ConversationId,
    user: &UserId,
    actor: Actor<'_>,
) -> Result<bool, Error> {
    let removed = state.store.remove_participant(id, actor, user).await?;
    let Removal { roster, is_ended, change } =
        removed.map_err(|refusal| refused(state, refusal, "userId"))?;
    let expelled = state.announcer.connections.expel(user, id, roster).await;
    if let Some(change) = change {
        tell_roster(state, id, change).await;
    }
    // It is committed, but the room may still have them: a repeat empties it.
    expelled?;
    Ok(is_ended)
}

async fn tell_roster(state: &State, id: ConversationId, change: RosterChange) {
    let telling = tell_roster_change(&state.announcer.connections, &state.announcer.push, id, change);
    let pushed = after_commit("pushing a change of participants", telling);
    tokio::join!(pushed, state.deliveries.start(Some(id)));
}

pub(crate) fn no_such_conversation() -> Error {
    Error::not_found("conversationId: there is no such conversation")
}

/// The answer to a refusal; `field` names the users.
fn refused(state: &State, refusal: Refusal, field: &str) -> Error {
    match refusal {
        Refusal::NotAParticipant => no_such_conversation(),
        Refusal::Direct => {
            Error::invalid_request("conversationId: a conversation of two has no title, owners or others")
        }
        Refusal::NoSuchUser(user) => Error::not_found(format!("{field}: there is no user {user}")),
        Refusal::NoSuchParticipant => Error::not_found(format!("{field}: this user does not take part")),
        Refusal::TooManyParticipants => Error::invalid_request(format!(
            "{field}: a conversation has at most {} participants",
            state.max_participants
        )),
        Refusal::NotAnOwner | Refusal::OnlyOwner | Refusal::TooMany { .. } => {
            unreachable!("the service needs no rights and has no limit")
        }
    }
}

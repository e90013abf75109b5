//! Users, and their tokens and connections.

use domain::UserId;
use edge::Error;
use edge::http::StatusCode;
use protocol::Time;
use protocol::service::{Closed, Exported, OwnReaction, Participation};
use realtime::shut_out;
use store::{ExportPlace, Participated, ProfileChange};

use crate::answer::Answer;
use crate::state::State;

pub(crate) async fn set(
    state: &State,
    user: &UserId,
    change: &ProfileChange,
) -> Result<(StatusCode, Answer), Error> {
    Ok((StatusCode::OK, Answer::User(state.store.set_user(user, change).await?.into())))
}

/// Postgres refuses the tokens over HTTP, and the table of connections at the handshake. If this ends before
/// it answers, a repeat finds what is left to close.
pub(crate) async fn close_connections(state: &State, user: &UserId) -> Result<(StatusCode, Answer), Error> {
    Ok((StatusCode::OK, Answer::Closed(Closed { closed: revoke(state, user).await? })))
}

/// Refuses the tokens of a user, and closes their connections. Returns how many.
pub(crate) async fn revoke(state: &State, user: &UserId) -> Result<usize, Error> {
    let (revoked_at, contacts) =
        tokio::try_join!(state.store.revoke_tokens(user), state.store.contacts_of(user))?;
    let why = Error::token_revoked();
    Ok(shut_out(&state.announcer, user, revoked_at, &contacts, &why).await?)
}

pub(crate) async fn export(
    state: &State,
    user: &UserId,
    after: ExportPlace,
) -> Result<(StatusCode, Answer), Error> {
    const LIMIT: usize = 100;
    let found = state.store.export(user, after, LIMIT).await?;
    let page = found.ok_or_else(|| Error::not_found("userId: there is no such user"))?;
    let participation = |of: Participated| Participation {
        conversation_id: of.conversation,
        role: of.role,
        joined_at: Time(of.joined_at),
        read_up_to_seq: of.read_up_to,
    };
    let page = Exported {
        user: page.user.into(),
        messages: page.messages.into_iter().map(Into::into).collect(),
        reactions: page
            .reactions
            .into_iter()
            .map(|(message_id, reaction)| OwnReaction { message_id, reaction })
            .collect(),
        blocks: page.blocks,
        participations: page.participations.into_iter().map(participation).collect(),
        next_cursor: page.next.map(|place| place.to_string()),
    };
    Ok((StatusCode::OK, Answer::Exported(Box::new(page))))
}

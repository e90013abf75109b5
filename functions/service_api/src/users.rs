//! Users, and their tokens and connections.

use domain::UserId;
use edge::Error;
use edge::http::StatusCode;
use protocol::service::Closed;
use realtime::shut_out;
use store::ProfileChange;

use crate::{Answer, State};

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
    let (revoked_at, contacts) =
        tokio::try_join!(state.store.revoke_tokens(user), state.store.contacts_of(user))?;
    let why = Error::token_revoked();
    let closed = shut_out(&state.announcer, user, revoked_at, &contacts, &why).await?;
    Ok((StatusCode::OK, Answer::Closed(Closed { closed })))
}

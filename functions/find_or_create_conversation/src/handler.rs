//! Both users may ask at once and get the same conversation: the database decides which request creates it.

use aws::Deliveries;
use domain::Participants;
use edge::Error;
use edge::http::StatusCode;
use edge::token::Claims;
use protocol::rest::{FindOrCreateConversation, FoundConversation};
use store::{FindOrCreate, Store};

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) deliveries: Deliveries,
    /// How many conversations a user may create in a minute; 0 for any number.
    pub(crate) max_per_minute: u32,
}

pub(crate) async fn handle(
    state: &State,
    claims: Claims,
    body: FindOrCreateConversation,
) -> Result<(StatusCode, FoundConversation), Error> {
    let (caller, other) = (claims.identity, body.other_user_id);
    let pair = Participants::new(caller.user_id.clone(), other.clone())
        .map_err(|same_user| Error::invalid_request(format!("otherUserId: {same_user}")))?;
    let (profile, limit) = (&claims.profile, state.max_per_minute);
    let (status, conversation_id) =
        match state.store.find_or_create_conversation(&caller, profile, &other, &pair, limit).await? {
            FindOrCreate::Found(id) => (StatusCode::OK, id),
            FindOrCreate::Created(id) => {
                state.deliveries.start(Some(id)).await;
                (StatusCode::CREATED, id)
            }
            FindOrCreate::NoSuchUser => return Err(Error::not_found("otherUserId: there is no such user")),
            FindOrCreate::TooMany { retry_after } => {
                let message = format!("{limit} new conversations a minute are enough: wait a little");
                return Err(Error::rate_limited(message, retry_after));
            }
        };
    Ok((status, FoundConversation { conversation_id }))
}

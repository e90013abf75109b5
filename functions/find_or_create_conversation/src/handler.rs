//! Both sides may ask at once and get the same conversation: the database decides who made it.

use domain::Participants;
use edge::Error;
use edge::http::StatusCode;
use edge::token::Claims;
use protocol::rest::{FindOrCreateConversation, FoundConversation};
use store::{FindOrCreate, Store};

pub(crate) async fn handle(
    store: &Store,
    claims: Claims,
    body: FindOrCreateConversation,
) -> Result<(StatusCode, FoundConversation), Error> {
    let (caller, other) = (claims.user_id, body.other_user_id);
    let pair = Participants::new(caller.clone(), other.clone())
        .map_err(|same_user| Error::invalid_request(format!("otherUserId: {same_user}")))?;
    let (status, conversation_id) =
        match store.find_or_create_conversation(&caller, &claims.profile, &other, &pair).await? {
            FindOrCreate::Found(id) => (StatusCode::OK, id),
            FindOrCreate::Created(id) => (StatusCode::CREATED, id),
            FindOrCreate::NoSuchUser => return Err(Error::not_found("otherUserId: there is no such user")),
        };
    Ok((status, FoundConversation { conversation_id }))
}

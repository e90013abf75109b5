//! The statement that reads the page also marks the messages of the other participant as read. If any was
//! unread, `messages_read` is pushed to both participants.

use domain::ConversationId;
use edge::Error;
use edge::http::{Request, StatusCode, limit, path, query};
use edge::token::Claims;
use protocol::rest::MessagePage;
use realtime::{Connections, Push, best_effort, tell_participants};
use store::{Found, Marked, Part, Store};

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) push: Push,
}

/// The page that is asked for.
pub(crate) struct Page {
    conversation_id: ConversationId,
    part: Part,
    limit: usize,
}

pub(crate) fn read(request: &Request) -> Result<Page, Error> {
    let part = match (query(request, "before")?, query(request, "after")?) {
        (None, None) => Part::Newest,
        (Some(before), None) => Part::Before(before),
        (None, Some(after)) => Part::After(after),
        (Some(_), Some(_)) => {
            return Err(Error::invalid_request("before, after: only one of them may be given"));
        }
    };
    Ok(Page { conversation_id: path(request, "conversationId")?, part, limit: limit(request)? })
}

pub(crate) async fn handle(
    state: &State,
    claims: Claims,
    page: Page,
) -> Result<(StatusCode, MessagePage), Error> {
    let reader_id = claims.user_id;
    let history =
        match state.store.read_history(page.conversation_id, &reader_id, page.part, page.limit).await? {
            Found::History(history) => history,
            Found::NotAParticipant => return Err(Error::not_a_participant()),
            Found::NoSuchMessage => {
                return Err(Error::invalid_request(
                    "before, after: no message of this conversation has this id",
                ));
            }
        };
    let Marked { participants, read, changed } = history.marked;
    if changed {
        let event = read.into();
        let told = tell_participants(&state.connections, &state.push, &participants, None, &event);
        best_effort("pushing what was read", told).await;
    }
    let messages = history.messages.into_iter().map(Into::into).collect();
    Ok((StatusCode::OK, MessagePage { messages, has_more: history.has_more }))
}

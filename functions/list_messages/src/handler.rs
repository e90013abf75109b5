//! Who looks at a conversation has read it: the other side's messages are marked in the same statement that
//! reads the page, and both sides' connections learn of it, if anything changed.

use domain::{ConversationId, Failure};
use edge::Error;
use edge::http::{Request, StatusCode, limit, path, query};
use edge::token::Claims;
use protocol::rest::MessagePage;
use protocol::{Event, Time};
use realtime::{Connections, Push, best_effort, deliver};
use store::{Found, Part, Read, Store};

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
    pub(crate) push: Push,
}

/// Which page is asked for.
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
    if history.read.changed {
        let event = Event::MessagesRead {
            conversation_id: page.conversation_id,
            reader_id,
            up_to_seq: history.read.up_to,
            read_at: Time(history.read.at),
        };
        best_effort("telling the others what was read", tell(state, &history.read, &event)).await;
    }
    let messages = history.messages.into_iter().map(Into::into).collect();
    Ok((StatusCode::OK, MessagePage { messages, has_more: history.has_more }))
}

async fn tell(state: &State, read: &Read, event: &Event) -> Result<(), Failure> {
    let participants: Vec<_> = read.participants.iter().cloned().collect();
    let targets = state.connections.connections_of(&participants).await?;
    deliver(&state.connections, &state.push, targets, event).await;
    Ok(())
}

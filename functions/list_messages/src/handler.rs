//! The statement that reads the page also marks all messages as read, unless the request says otherwise. If
//! messages of others were unread, `messages_read` is pushed: in a conversation of two to both, in a group to
//! the reader.

use std::str::FromStr;

use domain::{ConversationId, MessageId, Seq};
use edge::Error;
use edge::http::{Request, StatusCode, limit, path, query};
use edge::token::Claims;
use protocol::rest::MessagePage;
use realtime::{Connections, Push, after_commit, tell};
use store::{Found, Marked, Part, Place, Store};

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
    marks: bool,
}

/// A cursor: the id of a message, or a `seq`.
struct Cursor(Place);

impl FromStr for Cursor {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = MessageId::parse(text).map(Place::Message);
        let seq = || text.parse().ok().filter(|seq| *seq >= 0).map(|seq| Place::Seq(Seq(seq)));
        id.ok().or_else(seq).map(Self).ok_or("must be a UUID or a seq")
    }
}

pub(crate) fn read(request: &Request) -> Result<Page, Error> {
    let part = match (query(request, "before")?, query(request, "after")?) {
        (None, None) => Part::Newest,
        (Some(Cursor(before)), None) => Part::Before(before),
        (None, Some(Cursor(after))) => Part::After(after),
        (Some(_), Some(_)) => {
            return Err(Error::invalid_request("before, after: only one of them may be given"));
        }
    };
    let marks = match query::<String>(request, "markRead")?.as_deref() {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(Error::invalid_request("markRead: must be true or false")),
    };
    Ok(Page { conversation_id: path(request, "conversationId")?, part, limit: limit(request)?, marks })
}

pub(crate) async fn handle(
    state: &State,
    claims: Claims,
    page: Page,
) -> Result<(StatusCode, MessagePage), Error> {
    let reader = claims.identity;
    let Page { conversation_id, part, limit, marks } = page;
    let history = match state.store.read_history(conversation_id, &reader, part, limit, marks).await? {
        Found::History(history) => history,
        Found::NotAParticipant => return Err(Error::not_a_participant()),
        Found::NoSuchMessage => {
            return Err(Error::invalid_request("before, after: no message of this conversation has this id"));
        }
    };
    let Marked { told, read, changed } = history.marked;
    if changed {
        let event = read.into();
        let telling = tell(&state.connections, &state.push, &told, None, &event);
        after_commit("pushing what was read", telling).await;
    }
    let page = MessagePage {
        messages: history.messages.into_iter().map(Into::into).collect(),
        has_more: history.has_more,
        first_seq: history.first_seq,
        last_change: history.last_change,
    };
    Ok((StatusCode::OK, page))
}

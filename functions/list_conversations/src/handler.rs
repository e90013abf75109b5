//! One statement for the page, then one batch read for the presence of the others in conversations of two.

use domain::{ActivityCursor, Kind};
use edge::Error;
use edge::http::{Request, StatusCode, limit, query};
use edge::token::Claims;
use protocol::Time;
use protocol::rest::{Conversation, ConversationPage};
use realtime::Connections;
use store::Store;

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) connections: Connections,
}

/// The page that is asked for.
pub(crate) struct Page {
    cursor: ActivityCursor,
    limit: usize,
}

pub(crate) fn read(request: &Request) -> Result<Page, Error> {
    Ok(Page { cursor: query(request, "cursor")?.unwrap_or(ActivityCursor::START), limit: limit(request)? })
}

pub(crate) async fn handle(
    state: &State,
    claims: Claims,
    page: Page,
) -> Result<(StatusCode, ConversationPage), Error> {
    // One conversation more than asked for tells whether there is another page.
    let mut found = state.store.conversations_of(&claims.identity, page.cursor, page.limit + 1).await?;
    let has_more = found.len() > page.limit;
    found.truncate(page.limit);
    let next_cursor = found.last().filter(|_| has_more).map(|last| last.cursor.to_string());

    // Nobody sees the presence of somebody whom they have blocked, or who has blocked them.
    let other = |kind: &Kind| match kind {
        Kind::Direct { other, is_blocked: false } => Some(other.id.clone()),
        Kind::Direct { .. } | Kind::Group { .. } => None,
    };
    let others: Vec<_> = found.iter().filter_map(|listed| other(&listed.conversation.kind)).collect();
    let presence = state.connections.presence(&others).await?;
    let conversations = found.into_iter().map(|listed| {
        let presence = other(&listed.conversation.kind).and_then(|user| presence.get(&user).copied());
        let presence = presence.unwrap_or_default();
        Conversation::new(listed.conversation, presence.online, presence.last_seen_at.map(Time))
    });
    Ok((StatusCode::OK, ConversationPage { conversations: conversations.collect(), next_cursor }))
}

//! One statement for the page, then one batch read for the presence of the other participants.

use domain::ActivityCursor;
use edge::Error;
use edge::http::{Request, StatusCode, limit, query};
use edge::token::Claims;
use protocol::Time;
use protocol::rest::{ConversationPage, ConversationSummary, OtherUser};
use realtime::{Connections, Presence};
use store::{Store, Summary};

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
    let mut found = state.store.conversations_of(&claims.user_id, page.cursor, page.limit + 1).await?;
    let has_more = found.len() > page.limit;
    found.truncate(page.limit);
    let next_cursor = found.last().filter(|_| has_more).map(|last| last.cursor.to_string());

    let others: Vec<_> = found.iter().map(|summary| summary.other.id.clone()).collect();
    let presence = state.connections.presence(&others).await?;
    let conversations = found.into_iter().map(|summary| {
        let presence = presence.get(&summary.other.id).copied().unwrap_or_default();
        wire(summary, presence)
    });
    Ok((StatusCode::OK, ConversationPage { conversations: conversations.collect(), next_cursor }))
}

fn wire(summary: Summary, presence: Presence) -> ConversationSummary {
    ConversationSummary {
        id: summary.id,
        other_user: OtherUser {
            user: summary.other.into(),
            online: presence.online,
            last_seen_at: presence.last_seen_at.map(Time),
        },
        last_message_at: summary.last_message.as_ref().map(|message| Time(message.created_at)),
        last_message: summary.last_message.map(Into::into),
        last_seq: summary.last_seq,
        unread_count: summary.unread_count,
    }
}

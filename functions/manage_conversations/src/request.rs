//! The requests of the routes.

use std::collections::BTreeSet;

use domain::{Change, ConversationId, Role, UserId};
use edge::Error;
use edge::http::{Request, json_body, limit, path, query, required_query, route};
use protocol::rest::{AddParticipants, ChangeConversation, CreateConversation, SetRole};
use store::{GroupChange, NewGroup};

/// The most users in one request.
const MAX_AT_ONCE: usize = 100;

/// What is asked for.
pub(crate) enum Asked {
    Create(NewGroup),
    Get(ConversationId),
    Change(ConversationId, GroupChange),
    ListChanges(ConversationId, ChangesPage),
    ListParticipants(ConversationId, Page),
    AddParticipants(ConversationId, Vec<UserId>),
    SetRole(ConversationId, UserId, Role),
    RemoveParticipant(ConversationId, UserId),
    ListBlocks,
    SetBlock(UserId, bool),
}

/// A page of participants: those after a user.
pub(crate) struct Page {
    pub(crate) after: Option<UserId>,
    pub(crate) limit: usize,
}

/// A page of changes: those after a change.
pub(crate) struct ChangesPage {
    pub(crate) after: Change,
    pub(crate) limit: usize,
}

pub(crate) fn read(request: &Request) -> Result<Asked, Error> {
    let id = || path(request, "conversationId");
    Ok(match route(request) {
        "POST /api/conversations" => Asked::Create(new_group(json_body(request)?)?),
        "GET /api/conversations/{conversationId}" => Asked::Get(id()?),
        "PATCH /api/conversations/{conversationId}" => Asked::Change(id()?, change(json_body(request)?)),
        "GET /api/conversations/{conversationId}/changes" => {
            let after = query(request, "after")?.unwrap_or(0);
            if after < 0 {
                return Err(Error::invalid_request("after: must not be negative"));
            }
            Asked::ListChanges(id()?, ChangesPage { after: Change(after), limit: limit(request)? })
        }
        "GET /api/conversations/{conversationId}/participants" => {
            Asked::ListParticipants(id()?, Page { after: query(request, "cursor")?, limit: limit(request)? })
        }
        "POST /api/conversations/{conversationId}/participants" => {
            let AddParticipants { user_ids } = json_body(request)?;
            if user_ids.is_empty() {
                return Err(Error::invalid_request("userIds: must not be empty"));
            }
            Asked::AddParticipants(id()?, each_once("userIds", user_ids)?)
        }
        "PATCH /api/conversations/{conversationId}/participants" => {
            let SetRole { user_id, role } = json_body(request)?;
            Asked::SetRole(id()?, user_id, role)
        }
        "DELETE /api/conversations/{conversationId}/participants" => {
            Asked::RemoveParticipant(id()?, required_query(request, "userId")?)
        }
        "GET /api/blocks" => Asked::ListBlocks,
        "PUT /api/blocks" => Asked::SetBlock(required_query(request, "userId")?, true),
        "DELETE /api/blocks" => Asked::SetBlock(required_query(request, "userId")?, false),
        other => return Err(Error::not_found(format!("there is no route {other}"))),
    })
}

fn new_group(body: CreateConversation) -> Result<NewGroup, Error> {
    let CreateConversation { title, avatar_url, participant_ids, client_conversation_id } = body;
    let others = each_once("participantIds", participant_ids)?;
    Ok(NewGroup { title, avatar_url, others, client_conversation_id })
}

fn change(body: ChangeConversation) -> GroupChange {
    GroupChange { title: body.title, avatar_url: body.avatar_url }
}

/// The users, each of them once.
fn each_once(field: &str, users: Vec<UserId>) -> Result<Vec<UserId>, Error> {
    if users.len() > MAX_AT_ONCE {
        let message = format!("{field}: must be at most {MAX_AT_ONCE} users, not {}", users.len());
        return Err(Error::invalid_request(message));
    }
    Ok(users.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
}

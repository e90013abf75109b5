//! The requests of the routes.

use std::collections::BTreeSet;

use domain::{ConversationId, MessageId, NewMessage, Role, UserId};
use edge::Error;
use edge::http::{Request, json_body, path, query, required_query, route};
use protocol::rest::{AddParticipants, SetRole};
use protocol::service::{MakeConversation, SendMessage, SetUser};
use store::{ExportPlace, NewConversation, ProfileChange};

/// The most users in one request.
const MAX_AT_ONCE: usize = 100;

/// What is asked for.
pub(crate) enum Asked {
    SetUser(UserId, ProfileChange),
    ExportUser(UserId, ExportPlace),
    EraseUser(UserId),
    CloseConnections(UserId),
    MakeConversation(NewConversation),
    AddParticipants(ConversationId, Vec<UserId>),
    SetRole(ConversationId, UserId, Role),
    RemoveParticipant(ConversationId, UserId),
    SendMessage(NewMessage),
    DeleteMessage(MessageId),
}

pub(crate) fn read(request: &Request) -> Result<Asked, Error> {
    let user = || required_query(request, "userId");
    let id = || path(request, "conversationId");
    Ok(match route(request) {
        "PUT /service/users" => {
            let SetUser { name, display_name, avatar_url } = json_body(request)?;
            Asked::SetUser(user()?, ProfileChange { name, display_name, avatar_url })
        }
        "GET /service/users/export" => {
            Asked::ExportUser(user()?, query(request, "cursor")?.unwrap_or(ExportPlace::START))
        }
        "DELETE /service/users" => Asked::EraseUser(user()?),
        "DELETE /service/connections" => Asked::CloseConnections(user()?),
        "POST /service/conversations" => Asked::MakeConversation(new_conversation(json_body(request)?)?),
        "POST /service/conversations/{conversationId}/participants" => {
            let AddParticipants { user_ids } = json_body(request)?;
            Asked::AddParticipants(id()?, some_users("userIds", user_ids)?)
        }
        "PATCH /service/conversations/{conversationId}/participants" => {
            let SetRole { user_id, role } = json_body(request)?;
            Asked::SetRole(id()?, user_id, role)
        }
        "DELETE /service/conversations/{conversationId}/participants" => {
            Asked::RemoveParticipant(id()?, user()?)
        }
        "POST /service/conversations/{conversationId}/messages" => {
            let SendMessage { sender_id, content, client_message_id, metadata, reply_to } =
                json_body(request)?;
            Asked::SendMessage(NewMessage {
                id: MessageId::new(),
                conversation_id: id()?,
                sender_id,
                content,
                client_message_id: Some(client_message_id),
                reply_to,
                metadata,
            })
        }
        "DELETE /service/messages/{messageId}" => Asked::DeleteMessage(path(request, "messageId")?),
        other => return Err(Error::not_found(format!("there is no route {other}"))),
    })
}

fn new_conversation(body: MakeConversation) -> Result<NewConversation, Error> {
    let MakeConversation { participant_ids, title, owner_ids, client_conversation_id } = body;
    let participants = some_users("participantIds", participant_ids)?;
    let owners = each_once(owner_ids.unwrap_or_default());
    if let Some(stranger) = owners.iter().find(|owner| !participants.contains(owner)) {
        return Err(Error::invalid_request(format!("ownerIds: {stranger} is not among the participantIds")));
    }
    if title.is_none() {
        if participants.len() != 2 {
            return Err(Error::invalid_request(
                "title: is missing; only a conversation of two participants has none",
            ));
        }
        if !owners.is_empty() {
            return Err(Error::invalid_request("ownerIds: a conversation without a title has no owners"));
        }
    }
    Ok(NewConversation { title, participants, owners, client_conversation_id })
}

/// The users, each of them once: one or more, and not too many.
fn some_users(field: &str, users: Vec<UserId>) -> Result<Vec<UserId>, Error> {
    if !(1..=MAX_AT_ONCE).contains(&users.len()) {
        let message = format!("{field}: must be 1 to {MAX_AT_ONCE} users, not {}", users.len());
        return Err(Error::invalid_request(message));
    }
    Ok(each_once(users))
}

/// The users, each of them once, in the order of a pair.
fn each_once(users: Vec<UserId>) -> Vec<UserId> {
    users.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

//! Hands each request to the module that answers it.

use edge::Error;
use edge::http::StatusCode;

use crate::answer::Answer;
use crate::request::Asked;
use crate::state::State;
use crate::{conversations, erasure, messages, users};

pub(crate) async fn handle(state: &State, asked: Asked) -> Result<(StatusCode, Answer), Error> {
    match asked {
        Asked::SetUser(user, change) => users::set(state, &user, &change).await,
        Asked::ExportUser(user, after) => users::export(state, &user, after).await,
        Asked::EraseUser(user) => erasure::erase(state, &user).await,
        Asked::CloseConnections(user) => users::close_connections(state, &user).await,
        Asked::MakeConversation(new) => conversations::make(state, &new).await,
        Asked::AddParticipants(id, users) => conversations::add_participants(state, id, &users).await,
        Asked::SetRole(id, user, role) => conversations::set_role(state, id, &user, role).await,
        Asked::RemoveParticipant(id, user) => conversations::remove_participant(state, id, &user).await,
        Asked::SendMessage(message) => messages::send(state, &message).await,
        Asked::DeleteMessage(id) => messages::delete(state, id).await,
    }
}

//! Which module does what is asked for.

use aws::Deliveries;
use edge::Error;
use edge::http::StatusCode;
use protocol::rest::{Done, ParticipantCount};
use protocol::service::{Closed, Conversation, Exported};
use protocol::{Message, User};
use realtime::Announcer;
use serde::Serialize;
use store::Store;

use crate::request::Asked;
use crate::{conversations, erasure, messages, users};

pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) announcer: Announcer,
    pub(crate) deliveries: Deliveries,
    /// How many participants a group may have.
    pub(crate) max_participants: i32,
}

/// The body of an answer.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    User(User),
    Closed(Closed),
    Exported(Box<Exported>),
    Conversation(Box<Conversation>),
    ParticipantCount(ParticipantCount),
    Message(Box<Message>),
    Done(Done),
}

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

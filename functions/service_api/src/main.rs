//! The service API: what backends do, `/service/...`.

mod conversations;
mod erasure;
mod messages;
mod request;
mod users;

use aws::Deliveries;
use edge::Error;
use edge::http::StatusCode;
use edge::token::ServiceVerifier;
use protocol::rest::{Done, ParticipantCount};
use protocol::service::{Closed, Conversation, Exported};
use protocol::{Message, User};
use realtime::Announcer;
use request::Asked;
use serde::Serialize;
use store::Store;

struct State {
    store: Store,
    announcer: Announcer,
    deliveries: Deliveries,
    /// How many participants a group may have.
    max_participants: i32,
}

/// The body of an answer.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    User(User),
    Closed(Closed),
    Exported(Box<Exported>),
    Conversation(Box<Conversation>),
    ParticipantCount(ParticipantCount),
    Message(Box<Message>),
    Done(Done),
}

async fn handle(state: &State, asked: Asked) -> Result<(StatusCode, Answer), Error> {
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

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await;
    let state = &State {
        store: Store::from_env(&sdk)?,
        announcer: Announcer::from_env(&sdk)?,
        deliveries: Deliveries::from_env(&sdk)?,
        max_participants: environment::parsed_or("MAX_PARTICIPANTS", 1000)?,
    };
    edge::http::run(ServiceVerifier::from_env(&sdk)?, request::read, |(), asked| handle(state, asked)).await
}

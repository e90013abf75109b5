//! `$disconnect`: a connection is closed.

mod handler;

use handler::State;
use realtime::Announcer;
use store::{Store, Use};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await?;
    let state = State { store: Store::from_env(&sdk)?, announcer: Announcer::from_env(&sdk)? };
    edge::warm_up([Box::pin(state.store.warm_up(Use::ContactsOf)), Box::pin(state.announcer.warm_up())])
        .await;
    edge::websocket::disconnect(async |caller| handler::handle(&state, caller).await).await
}

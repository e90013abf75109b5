//! `sweep_connections`: takes users offline who only seem to be online. Invoked on a schedule.

mod handler;

use edge::env;
use edge::telemetry::{Invocation, observe};
use handler::State;
use lambda_runtime::{LambdaEvent, service_fn};
use realtime::{Announcer, Connections, PresenceAudience, Push};
use serde::de::IgnoredAny;
use store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    edge::telemetry::init();
    let sdk = aws::load_config().await;
    let state = &State {
        store: Store::new(env::secret("DATABASE_URL", &sdk)?)?,
        announcer: Announcer {
            connections: Connections::new(&sdk, env::required("CONNECTIONS_TABLE")?),
            push: Push::new(&sdk, &env::required("PUSH_ENDPOINT")?),
            audience: env::parsed_or("PRESENCE_AUDIENCE", PresenceAudience::Contacts)?,
        },
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<IgnoredAny>| {
        let request_id = &event.context.request_id;
        let invocation = Invocation { route: "sweep_connections", request_id, connection: None };
        observe(invocation, handler::handle(state)).await
    }))
    .await
}

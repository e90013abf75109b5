//! Functions that are invoked on a schedule, as by EventBridge.

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use uuid::Uuid;

use crate::lambda::{Invocation, Lambda};
use crate::template::{Schedule, Values};

/// Invokes the function at each time of the schedule, until the stack stops.
pub(crate) async fn run(schedule: Schedule, values: Values, lambda: Lambda) {
    let mut ticks = interval_at(Instant::now() + schedule.every, schedule.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Schedule { name, function, .. } = &schedule;
        let event = json!({
            "version": "0",
            "id": Uuid::new_v4().to_string(),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": values.account,
            "time": OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default(),
            "region": values.region,
            "resources": [format!("arn:aws:events:{}:{}:rule/{name}", values.region, values.account)],
            "detail": {},
        });
        let invocation = Invocation { payload: event.to_string().into(), client_context: None };
        let (lambda, function) = (lambda.clone(), function.clone());
        // Asynchronously: the next invocation does not wait for the repeats of this one.
        tokio::spawn(async move { lambda.run_event(&function, invocation).await });
    }
}

//! Applies the migrations that the database does not have yet. What is there already is left alone, so it may
//! run at any time.

use aws::Secret;
use serde::Serialize;
use store::Session;

refinery::embed_migrations!("../../migrations");

/// Any number will do, as long as nobody else locks the same.
const LOCK: i64 = 0x5357_4954_4348; // "SWITCH"

/// What was done.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    applied: Vec<String>,
}

/// Whoever invokes this runs the service, so errors are told in full.
pub(crate) async fn handle(url: &Secret) -> Result<Report, lambda_runtime::Error> {
    let _waiting = tracing::trace_span!(target: "measured", "Postgres");
    let Session { mut client, driver, is_pooled_by_transaction } = Session::open(url).await?;
    if !is_pooled_by_transaction {
        // Two runs at once would both find the same migrations missing. Held until the connection ends. Where
        // it could not be held, the later one fails at what is there already, and changes nothing.
        client.execute("select pg_advisory_lock($1)", &[&LOCK]).await?;
    }
    let report = migrations::runner().run_async(&mut client).await?;
    drop(client);
    driver.await??;
    let applied = report.applied_migrations().iter().map(ToString::to_string).collect();
    Ok(Report { applied })
}

//! Applies the migrations that the database does not have yet. It may be invoked at any time.

use aws::Secret;
use edge::with_causes;
use serde::Serialize;
use store::Session;

refinery::embed_migrations!("../../migrations");

/// The key of the advisory lock. Nothing else locks this number.
const LOCK: i64 = 0x5357_4954_4348; // "SWITCH"

/// The migrations that were applied.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    applied: Vec<String>,
}

/// Errors are returned with their causes, since an operator reads them.
pub(crate) async fn handle(url: &Secret) -> Result<Report, lambda_runtime::Error> {
    migrate(url).await.map_err(|error| with_causes(&*error).into())
}

async fn migrate(url: &Secret) -> Result<Report, lambda_runtime::Error> {
    let _waiting = tracing::trace_span!(target: "measured", "Postgres");
    let Session { mut client, driver, is_pooled_by_transaction } = Session::open(url).await?;
    if !is_pooled_by_transaction {
        // Two concurrent runs would find the same migrations missing. The lock is held until the connection
        // ends. Without the lock, behind a transaction pooler, the later run fails and changes nothing.
        client.execute("select pg_advisory_lock($1)", &[&LOCK]).await?;
    }
    let report = migrations::runner().run_async(&mut client).await?;
    drop(client);
    driver.await??;
    let applied = report.applied_migrations().iter().map(ToString::to_string).collect();
    Ok(Report { applied })
}

//! Counts its events in memory, and in a file in `/tmp` that the event names. Then waits if the event says
//! so.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use lambda_runtime::Error;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Error> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    gateway::run(async |event| {
        let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        let name = gateway::told(&event, "name").unwrap_or_default();
        let path = Path::new("/tmp").join(name.as_str().ok_or("the event has no name")?);
        writeln!(OpenOptions::new().create(true).append(true).open(&path)?, "{count}")?;
        let kept = std::fs::read_to_string(&path)?.lines().count();
        gateway::wait(&event).await;
        Ok(json!({ "count": count, "kept": kept, "process": std::process::id() }))
    })
    .await
}

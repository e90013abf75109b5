//! Migrations.

use harness::{Database, Stack, StackOptions, connect};
use serde_json::Value;

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let stack = Stack::shared();
    let (one, other) = tokio::join!(stack.invokes("migrate"), stack.invokes("migrate"));
    assert_eq!(one["applied"], Value::Array(Vec::new()), "the stack has applied all of them at its start");
    assert_eq!(one, other);
}

#[tokio::test]
async fn two_runs_at_once_apply_each_migration_once() {
    let database = Database::create().await;
    let start = |url: String| {
        tokio::task::spawn_blocking(move || {
            // The stack is ready only if its own `migrate` succeeded.
            Stack::start(&StackOptions { database_url: Some(&url), ..StackOptions::default() })
        })
    };
    let (one, other) = tokio::join!(start(database.url.clone()), start(database.url.clone()));
    drop((one.unwrap(), other.unwrap()));
    let rows = connect(&database.url).await.query("select from refinery_schema_history", &[]).await.unwrap();
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations")).unwrap().flatten();
    let migrations = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "sql"));
    assert_eq!(rows.len(), migrations.count());
}

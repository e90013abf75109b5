//! A program that is run to its end.

use std::process::Stdio;

use tokio::process::Command;

use super::error::PostgresError;

/// Runs a program. If it fails, the last line that it wrote to standard error says why.
pub(super) async fn run(mut command: Command, program: &'static str) -> Result<(), PostgresError> {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|reason| PostgresError::NotRun { program, reason })?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().lines().last().unwrap_or("it does not say why").to_owned();
            Err(PostgresError::Failed { program, said })
        }
    }
}

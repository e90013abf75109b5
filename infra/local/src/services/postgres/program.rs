//! A program that is run to its end.

use std::process::Stdio;

use tokio::process::Command;

/// Runs a program. If it fails, the last line that it wrote to standard error says why.
pub(super) async fn run(mut command: Command, name: &str) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{name} cannot be run: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{name} failed: {}", said.trim().lines().last().unwrap_or("it does not say why")))
        }
    }
}

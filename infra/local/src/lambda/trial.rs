//! Trial starts: whether a function accepts its variables is known before it gets an event.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::listener::listen;

/// The time limit until a process asks for its first event. A process that takes longer is accepted.
const PATIENCE: Duration = Duration::from_secs(10);

/// The outcome of a trial start.
pub(super) enum Trial {
    /// The process asked for an event, or was still starting at the time limit.
    Started,
    /// The process ended by itself.
    Ended { stderr: String },
}

/// Starts a process, and kills it once it asks for an event or the time limit is over. `environment` returns
/// its variables, given the address of its Runtime API.
pub(super) async fn start(
    binary: &Path,
    environment: impl FnOnce(SocketAddr) -> BTreeMap<String, String>,
) -> std::io::Result<Trial> {
    let listener = listen(0)?;
    let child = Command::new(binary)
        .env_clear()
        .envs(environment(listener.local_addr()?))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    tokio::select! {
        _ = timeout(PATIENCE, listener.accept()) => Ok(Trial::Started),
        ended = child.wait_with_output() => {
            Ok(Trial::Ended { stderr: String::from_utf8_lossy(&ended?.stderr).trim().to_owned() })
        }
    }
}

//! A process of a function, from start to end. It knows its instance, and no host.

use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::invocation::InvokeError;
use super::pool::{Instance, Phase};
use crate::as_on_aws::Shares;
use crate::keeper::Keeper;

/// The time limit until a process asks for its first event.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum length of a line in bytes; a longer line is split (CloudWatch's quota of a log event).
const MAX_LINE: u64 = 256 * 1024;

/// The time limit until a process of a Managed Instance asks for its first event.
const MANAGED_INIT_TIMEOUT: Duration = Duration::from_secs(130);

/// Why a process has ended.
pub(super) enum End {
    Exited(Option<ExitStatus>),
    TimedOut(Duration),
    NotStarted(std::io::Error),
    /// It had an older binary, and has finished its events.
    Retired,
}

impl End {
    /// The error of an event that the process was handling.
    pub(super) fn error(&self, request_id: Uuid) -> InvokeError {
        match self {
            Self::Exited(status) => InvokeError::exited(request_id, *status),
            Self::Retired => InvokeError::exited(request_id, None),
            Self::TimedOut(after) => InvokeError::timed_out(request_id, *after),
            Self::NotStarted(error) => InvokeError::function(
                "Runtime.InvalidEntrypoint",
                format!("RequestId: {request_id} Error: the binary cannot be started: {error}"),
            ),
        }
    }
}

/// Runs a process until it exits, crashes, times out or is retired. Returns why it ended, and whether it
/// asked for an event.
pub(super) async fn run(
    instance: &Arc<Instance>,
    environment: &BTreeMap<String, String>,
    keeper: &Keeper,
    shares: Option<&Shares>,
) -> (End, bool) {
    let function = &instance.pool.function;
    let init_timeout = match function.concurrency {
        None => INIT_TIMEOUT,
        Some(_) => MANAGED_INIT_TIMEOUT.max(function.timeout),
    };
    let end = attempt(instance, environment, keeper, shares, init_timeout).await;
    if !matches!(end, (End::Exited(_) | End::TimedOut(_), false)) {
        return end;
    }
    // A failed start is repeated at the first event, with the time limit of the event.
    let timeout = function.timeout;
    instance.starts_again(Instant::now() + timeout);
    attempt(instance, environment, keeper, shares, timeout).await
}

/// Runs the process once.
async fn attempt(
    instance: &Arc<Instance>,
    environment: &BTreeMap<String, String>,
    keeper: &Keeper,
    shares: Option<&Shares>,
    init_timeout: Duration,
) -> (End, bool) {
    match start(instance, environment) {
        Err(error) => (End::NotStarted(error), false),
        Ok(mut child) => {
            let _watched = child.id().map(|pid| keeper.watch(pid));
            let memory = instance.pool.function.memory_mb;
            instance.set_processor(shares.zip(child.id()).map(|(shares, pid)| shares.processor(pid, memory)));
            let ended = watch(&mut child, instance, init_timeout).await;
            instance.set_processor(None);
            ended
        }
    }
}

fn start(instance: &Arc<Instance>, environment: &BTreeMap<String, String>) -> std::io::Result<Child> {
    let mut child = Command::new(&instance.binary)
        .env_clear()
        .envs(environment)
        // Ctrl-C in the terminal must reach the local stack only.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    child.stdout.take().map(|out| tokio::spawn(print_lines(instance.clone(), out)));
    child.stderr.take().map(|err| tokio::spawn(print_lines(instance.clone(), err)));
    Ok(child)
}

/// Waits until the process ends, and ends it when it times out. Also returns whether it asked for an event.
async fn watch(child: &mut Child, instance: &Instance, init_timeout: Duration) -> (End, bool) {
    let mut phases = instance.phase.subscribe();
    let started_at = Instant::now();
    let mut started = false;
    loop {
        let phase = *phases.borrow_and_update();
        started |= phase != Phase::Starting;
        let (limit, allowed) = match phase {
            Phase::Starting => (Some(started_at + init_timeout), init_timeout),
            Phase::Retired => {
                kill(child).await;
                return (End::Retired, started);
            }
            Phase::Idle => (None, Duration::ZERO),
            Phase::Busy { until } => (Some(until), instance.pool.function.timeout),
        };
        tokio::select! {
            status = child.wait() => {
                // It may have asked for an event just before.
                let asked = *instance.phase.borrow() != Phase::Starting;
                return (End::Exited(status.ok()), started || asked);
            }
            () = sleep_until(limit.unwrap_or_else(Instant::now)), if limit.is_some() => {
                kill(child).await;
                return (End::TimedOut(allowed), started);
            }
            changed = phases.changed() => changed.expect("the instance outlives its task"),
        }
    }
}

/// Kills a process and its children.
async fn kill(child: &mut Child) {
    use nix::sys::signal::{Signal, killpg};
    // If it cannot be killed, it is gone.
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = killpg(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.kill().await;
}

async fn print_lines(instance: Arc<Instance>, output: impl AsyncRead + Unpin) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        // Reads whatever the process writes: a function whose pipe is closed would fail at its next line.
        let read = (&mut output).take(MAX_LINE).read_until(b'\n', &mut line).await;
        if !read.is_ok_and(|bytes| bytes > 0) {
            return;
        }
        instance.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
    }
}

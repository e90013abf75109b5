//! A process of a function, from its start to its end.

use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::InvokeError;
use super::host::{Host, Instance, Phase};

/// How long a process may take until it asks for its first event.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A longer line is cut in pieces; in bytes (CloudWatch's quota for a log event).
const MAX_LINE: u64 = 256 * 1024;

/// A Managed Instance has longer.
const MANAGED_INIT_TIMEOUT: Duration = Duration::from_secs(130);

/// Why a process has ended.
enum End {
    Exited(Option<ExitStatus>),
    TimedOut(Duration),
    NotStarted(std::io::Error),
    /// It ran an older binary, and nothing was left to do.
    Retired,
}

/// Runs one process until it exits, crashes, takes too long or is out of date.
pub(super) async fn run(host: Host, instance: Arc<Instance>) {
    let function = &instance.pool.function;
    let init_timeout = match function.concurrency {
        None => INIT_TIMEOUT,
        Some(_) => MANAGED_INIT_TIMEOUT.max(function.timeout),
    };
    let mut end = attempt(&host, &instance, init_timeout).await;
    // A start that fails is repeated at the first event, with all the time that the event has.
    if let (End::Exited(_) | End::TimedOut(_), false) = &end {
        let timeout = function.timeout;
        instance.starts_again(Instant::now() + timeout);
        end = attempt(&host, &instance, timeout).await;
    }
    let (end, started) = end;
    host.ended(&instance, started, |request_id| match &end {
        End::Exited(status) => exit_error(request_id, *status),
        End::Retired => exit_error(request_id, None),
        End::TimedOut(after) => timeout_error(request_id, *after),
        End::NotStarted(error) => InvokeError::function(
            "Runtime.InvalidEntrypoint",
            format!("RequestId: {request_id} Error: the binary cannot be started: {error}"),
        ),
    });
}

/// Runs the process once; whether it ever asked for an event.
async fn attempt(host: &Host, instance: &Arc<Instance>, init_timeout: Duration) -> (End, bool) {
    match start(host, instance) {
        Err(error) => (End::NotStarted(error), false),
        Ok(mut child) => {
            let _watched = child.id().map(|pid| host.inner().keeper.watch(pid));
            watch(&mut child, instance, init_timeout).await
        }
    }
}

/// What Lambda says of an event that took too long.
pub(super) fn timeout_error(request_id: Uuid, after: Duration) -> InvokeError {
    let message =
        format!("RequestId: {request_id} Error: Task timed out after {:.2} seconds", after.as_secs_f64());
    InvokeError::function("Sandbox.Timedout", message)
}

/// What Lambda says of a process that ended in the middle of an event.
pub(super) fn exit_error(request_id: Uuid, status: Option<ExitStatus>) -> InvokeError {
    let reason = match status {
        Some(status) if !status.success() => format!("Runtime exited with error: {}", exit_reason(status)),
        _ => "Runtime exited without providing a reason".to_owned(),
    };
    InvokeError::function("Runtime.ExitError", format!("RequestId: {request_id} Error: {reason}"))
}

/// As Go prints it, since Lambda does: `exit status 1`, `signal: killed`.
fn exit_reason(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal().map(nix::sys::signal::Signal::try_from)) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(Ok(nix::sys::signal::Signal::SIGKILL))) => "signal: killed".to_owned(),
        (None, Some(Ok(signal))) => format!("signal: {signal}"),
        (None, _) => status.to_string(),
    }
}

fn start(host: &Host, instance: &Arc<Instance>) -> std::io::Result<Child> {
    let mut child = Command::new(&instance.binary)
        .env_clear()
        .envs(environment(host, instance))
        // Ctrl-C in the terminal is for the local stack alone.
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

/// What a `provided.al2023` function finds in its environment, and where its dependencies are.
fn environment(host: &Host, instance: &Instance) -> BTreeMap<String, String> {
    let inner = host.inner();
    let function = &instance.pool.function;
    let code = function.code.to_string_lossy();
    let initialization_type = match function.concurrency {
        None => "on-demand",
        Some(_) => "lambda-managed-instances",
    };
    let mut all: BTreeMap<String, String> = [
        // Its own, as its role's is: who makes a call can be told from it.
        ("AWS_ACCESS_KEY_ID", function.name.as_str()),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_SESSION_TOKEN", "local"),
        ("AWS_REGION", &inner.config.values.region),
        ("AWS_DEFAULT_REGION", &inner.config.values.region),
        ("AWS_LAMBDA_FUNCTION_NAME", &function.name),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &function.memory_mb.to_string()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", initialization_type),
        ("AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{}", function.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", &format!("local/[$LATEST]{}", instance.id.simple())),
        ("AWS_LAMBDA_RUNTIME_API", &format!("http://{}/{}", inner.runtime_api, instance.id)),
        ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"),
        // Nobody listens there, as nobody does on AWS when tracing is off.
        ("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:2000"),
        ("_AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1"),
        ("_AWS_XRAY_DAEMON_PORT", "2000"),
        // There is no /var/task here.
        ("LAMBDA_TASK_ROOT", &code),
        ("LAMBDA_RUNTIME_DIR", &code),
        ("LD_LIBRARY_PATH", "/lib64:/usr/lib64"),
        ("LANG", "en_US.UTF-8"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
        ("TZ", ":UTC"),
        ("_HANDLER", "bootstrap"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    if let Some(concurrency) = function.concurrency {
        all.insert("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), concurrency.to_string());
    }
    all.extend(inner.config.environment.clone());
    all.extend(function.environment.clone());
    all
}

/// Waits until the process ends, and ends it when it takes too long. Says too whether it ever asked for an
/// event.
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
            status = child.wait() => return (End::Exited(status.ok()), started),
            () = sleep_until(limit.unwrap_or_else(Instant::now)), if limit.is_some() => {
                kill(child).await;
                return (End::TimedOut(allowed), started);
            }
            changed = phases.changed() => changed.expect("the instance outlives its task"),
        }
    }
}

/// Ends a process and those that it has started.
async fn kill(child: &mut Child) {
    use nix::sys::signal::{Signal, killpg};
    // That it cannot be killed only means that it is gone.
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
        // Whatever it writes is read: a function whose pipe is closed would fail at its next line.
        let read = (&mut output).take(MAX_LINE).read_until(b'\n', &mut line).await;
        if !read.is_ok_and(|bytes| bytes > 0) {
            return;
        }
        instance.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
    }
}

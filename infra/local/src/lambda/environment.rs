//! The environment variables of a process.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use uuid::Uuid;

use crate::template::Function;

/// The environment of a process: the variables of a `provided.al2023` function, those of all functions here,
/// and those of this one. `runtime_api` is the address of the Runtime API, `instance` the id of the process.
pub(super) fn environment(
    function: &Function,
    shared: &BTreeMap<String, String>,
    region: &str,
    runtime_api: SocketAddr,
    instance: Uuid,
) -> BTreeMap<String, String> {
    let code = function.code.to_string_lossy();
    let initialization_type = match function.concurrency {
        None => "on-demand",
        Some(_) => "lambda-managed-instances",
    };
    let mut all: BTreeMap<String, String> = [
        // The name of the function as access key tells which function makes a call.
        ("AWS_ACCESS_KEY_ID", function.name.as_str()),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_SESSION_TOKEN", "local"),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
        ("AWS_LAMBDA_FUNCTION_NAME", &function.name),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &function.memory_mb.to_string()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", initialization_type),
        ("AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{}", function.name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", &format!("local/[$LATEST]{}", instance.simple())),
        ("AWS_LAMBDA_RUNTIME_API", &format!("http://{runtime_api}/{instance}")),
        ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"),
        // Nothing listens there, as on AWS when tracing is off.
        ("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:2000"),
        ("_AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1"),
        ("_AWS_XRAY_DAEMON_PORT", "2000"),
        // There is no /var/task.
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
    all.extend(shared.clone());
    all.extend(function.environment.clone());
    all
}

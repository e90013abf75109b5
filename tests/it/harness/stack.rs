//! The real stack, started by the command that a person types.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use uuid::Uuid;

use super::{Database, User};

/// A running `cargo dev`.
#[derive(Debug)]
pub(crate) struct Stack {
    child: Mutex<Child>,
    pub(crate) pid: u32,
    pub(crate) port: u16,
    /// The URL of Postgres, if the functions need it.
    postgres_url: Option<String>,
    pub(crate) dynamodb_url: String,
    pub(crate) secret: String,
    log: PathBuf,
    _folder: Option<TempDir>,
}

/// The arguments that run the functions of `tests/gateway`.
const GATEWAY: [&str; 3] = ["--ephemeral", "--template", "tests/gateway/template.yaml"];

/// The options of a stack.
#[derive(Debug, Default)]
pub(crate) struct StackOptions<'a> {
    pub(crate) args: &'a [&'a str],
    pub(crate) env: &'a [(&'a str, &'a str)],
    /// The database. Without one the stack runs a server.
    pub(crate) database_url: Option<&'a str>,
    /// The data directory, if it has to outlive the stack.
    pub(crate) data_dir: Option<&'a Path>,
}

impl Stack {
    /// The stack of all stories that need no other one. Their users are their own, so they do not meet.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Stack>> = Mutex::new(Weak::new());
        Self::shared_in(&SHARED, &["--ephemeral"])
    }

    /// The stack of all stories about the gateway.
    pub(crate) fn gateway() -> Arc<Self> {
        static SHARED: Mutex<Weak<Stack>> = Mutex::new(Weak::new());
        Self::shared_in(&SHARED, &GATEWAY)
    }

    /// The same with more arguments, for one story.
    pub(crate) fn own_gateway(args: &[&str]) -> Arc<Self> {
        let args = &[&GATEWAY, args].concat();
        Arc::new(Self::start(&StackOptions { args, ..StackOptions::default() }))
    }

    fn shared_in(shared: &Mutex<Weak<Self>>, args: &[&str]) -> Arc<Self> {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let stack = Arc::new(Self::start(&StackOptions { args, ..StackOptions::default() }));
        *shared = Arc::downgrade(&stack);
        stack
    }

    /// A new stack, with a new database on the shared server.
    pub(crate) async fn own(args: &[&str]) -> (Self, Database) {
        let database = Database::create().await;
        let options = StackOptions { args, database_url: Some(&database.url), ..StackOptions::default() };
        let stack = Self::start(&options);
        (stack, database)
    }

    /// The same with variables set for its functions.
    pub(crate) async fn own_with(env: &[(&str, &str)]) -> (Arc<Self>, Database) {
        let database = Database::create().await;
        let options = StackOptions { env, database_url: Some(&database.url), ..StackOptions::default() };
        (Arc::new(Self::start(&options)), database)
    }

    /// Invokes a function by name, as EventBridge or an operator does.
    pub(crate) async fn invokes(&self, function: &str) -> serde_json::Value {
        self.tries_to_invoke(function).await.unwrap_or_else(|error| panic!("{function}: {error}"))
    }

    /// The same; the error if the function fails.
    pub(crate) async fn tries_to_invoke(&self, function: &str) -> Result<serde_json::Value, String> {
        let url = self.invocations(function);
        let answer = reqwest::Client::new().post(url).body("{}").send().await.expect("the stack is running");
        if answer.headers().contains_key("x-amz-function-error") {
            return Err(answer.text().await.unwrap_or_default());
        }
        Ok(answer.json().await.expect("a function answers in JSON"))
    }

    /// Starts a stack, and waits until it is ready.
    pub(crate) fn start(options: &StackOptions<'_>) -> Self {
        let folder = options.data_dir.is_none().then(folder);
        let data_dir =
            options.data_dir.unwrap_or_else(|| folder.as_ref().expect("made if none is given").path());
        let log = data_dir.join("stack.log");
        let secret = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
        let mut child = command(options.args)
            .args(["--port", "0", "--stop-with-stdin", "--data-dir"])
            .arg(data_dir)
            .args(["--postgres-setting", "fsync=off", "--postgres-setting", "full_page_writes=off"])
            .args(if options.args.contains(&"--log-format") { &[][..] } else { &["--log-format", "json"] })
            .args(options.database_url.iter().flat_map(|url| ["--database-url", url]))
            .env("JWT_SECRET", &secret)
            .envs(options.env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the folder was just made"))
            .spawn()
            .expect("cargo runs this test too");
        let mut postgres_url = options.database_url.map(str::to_owned);
        let (mut port, mut dynamodb_url) = (None, None);
        let mut ready = false;
        for line in BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok) {
            match line.split_once(' ').map(|(name, rest)| (name, rest.trim())) {
                Some(("Postgres", url)) => postgres_url = Some(url.to_owned()),
                Some(("DynamoDB", url)) => dynamodb_url = Some(url.to_owned()),
                Some(("WebSocket" | "HTTP", url)) => {
                    port = url.split([':', '/']).find_map(|part| part.parse().ok());
                }
                Some(("ready", _)) => {
                    ready = true;
                    break;
                }
                _ => {}
            }
        }
        if !ready {
            let _ = child.wait();
            panic!("the stack did not start:\n{}", tail(&log));
        }
        Self {
            pid: child.id(),
            child: Mutex::new(child),
            port: port.expect("printed before `ready`"),
            postgres_url,
            dynamodb_url: dynamodb_url.expect("printed before `ready`"),
            secret,
            log,
            _folder: folder,
        }
    }

    /// A new user.
    pub(crate) fn user(self: &Arc<Self>, name: &str) -> User {
        User::new(self.clone(), name)
    }

    /// The id of the connection of a connected user.
    pub(crate) async fn connection_of(&self, user: &User) -> String {
        let all = reqwest::get(self.http("/dev/connections")).await.expect("the stack is running");
        let all: serde_json::Value = all.json().await.expect("it is JSON");
        let all = all["connections"].as_array().expect("it is a list");
        let own = all.iter().find(|connection| connection["authorizer"]["principalId"] == user.id.as_str());
        own.and_then(|own| own["connectionId"].as_str()).expect("they are connected").to_owned()
    }

    /// The URL of a function in the Invoke API.
    pub(crate) fn invocations(&self, function: &str) -> String {
        self.http(&format!("/2015-03-31/functions/{function}/invocations"))
    }

    pub(crate) fn postgres_url(&self) -> &str {
        self.postgres_url.as_deref().expect("printed before `ready`")
    }

    pub(crate) fn http(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The log of the stack and its functions.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("it was made at the start")
    }

    /// The JSON lines of functions, each with the name of the function.
    pub(crate) fn lines(&self) -> Vec<(String, serde_json::Value)> {
        self.records("function")
    }

    /// The log records of a type, each with the name of the function.
    pub(crate) fn records(&self, of_type: &str) -> Vec<(String, serde_json::Value)> {
        let entries = self.log();
        let entries = entries.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        entries
            .filter(|entry| entry["type"] == of_type)
            .filter_map(|entry| Some((entry["function"].as_str()?.to_owned(), entry["record"].clone())))
            .collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid.cast_signed()), signal).expect("it is running");
    }

    pub(crate) fn wait(&self) -> ExitStatus {
        self.child().wait().expect("it is our child")
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let mut child = self.child();
        if matches!(child.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGTERM);
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the end of the stack's log:\n{}", tail(&self.log));
        }
    }
}

/// Runs a `cargo dev` that is expected to end by itself.
pub(crate) fn run_to_end(args: &[&str]) -> Output {
    let folder = folder();
    let child = command(args)
        .arg("--data-dir")
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cargo runs this test too");
    let pid = Pid::from_raw(child.id().cast_signed());
    let (ended, has_ended) = std::sync::mpsc::channel::<()>();
    let watching = std::thread::spawn(move || {
        let late =
            has_ended.recv_timeout(std::time::Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout);
        if late {
            // It ends its children itself.
            let _ = kill(pid, Signal::SIGTERM);
        }
        late
    });
    let output = child.wait_with_output().expect("it is our child");
    drop(ended);
    assert!(!watching.join().expect("it does not panic"), "cargo dev {args:?} went on instead of ending");
    output
}

/// A temporary folder that another user may enter: Postgres runs as one when the tests run as root.
pub(crate) fn folder() -> TempDir {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new()
        .prefix("switchboard-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .expect("there is a temporary folder")
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).arg("--quiet").arg("dev").args(args);
    // Variables of the user who runs the tests must not affect the stacks.
    for variable in [
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        "CONNECTIONS_TABLE",
        "DATABASE_URL",
        "JWT_AUDIENCE",
        "JWT_ISSUER",
        "JWT_JWKS_URL",
        "JWT_SECRET",
        "LEASE_SECONDS",
        "MAX_CONNECTIONS_PER_USER",
        "MAX_CONVERSATIONS_PER_MINUTE",
        "MAX_MESSAGES_PER_MINUTE",
        "PRESENCE_AUDIENCE",
        "PUSH_ENDPOINT",
        "STACK_NAME",
        // Those of the functions in `tests/gateway`.
        "ANSWER",
        "GIVEN",
        "INIT_MS",
        "MESSAGE",
        "OWN",
        "RESOURCE",
    ] {
        command.env_remove(variable);
    }
    command
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

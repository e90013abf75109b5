//! The real stack.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use uuid::Uuid;

/// A running stack.
#[derive(Debug)]
pub struct Stack {
    child: Mutex<Child>,
    /// The process id of the gateway.
    pub pid: u32,
    /// The port of the gateway.
    pub port: u16,
    /// The URL of Postgres, if the functions need it.
    postgres_url: Option<String>,
    /// The endpoint of DynamoDB.
    pub dynamodb_url: String,
    /// The secret that signs its tokens.
    pub secret: String,
    log: PathBuf,
    _folder: Option<TempDir>,
}

/// The arguments that run the functions of `tests/gateway`.
const GATEWAY: [&str; 3] = ["--ephemeral", "--template", "tests/gateway/template.yaml"];

/// The options of a stack.
#[derive(Debug, Default)]
pub struct StackOptions<'a> {
    /// More arguments of `cargo dev`.
    pub args: &'a [&'a str],
    /// Variables of its functions.
    pub env: &'a [(&'a str, &'a str)],
    /// The database. Without one the stack runs a server.
    pub database_url: Option<&'a str>,
    /// The data directory, if it has to outlive the stack.
    pub data_dir: Option<&'a Path>,
    /// Whether Postgres waits for the disk. Stories do without, which is quicker.
    pub durable: bool,
    /// The profile of cargo that the stack and its functions are built with. Without one it is `dev`.
    pub profile: Option<&'a str>,
}

impl Stack {
    /// The stack of all stories that need no other one. Their users are their own, so they do not meet.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Stack>> = Mutex::new(Weak::new());
        // Many other stacks have their databases on its server.
        Self::shared_in(&SHARED, &["--ephemeral", "--postgres-setting", "max_connections=1000"])
    }

    /// The stack of all stories about the gateway.
    pub fn gateway() -> Arc<Self> {
        static SHARED: Mutex<Weak<Stack>> = Mutex::new(Weak::new());
        Self::shared_in(&SHARED, &GATEWAY)
    }

    /// The same with more arguments, for one story.
    pub fn own_gateway(args: &[&str]) -> Arc<Self> {
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

    /// Invokes a function by name, as EventBridge or an operator does.
    pub async fn invokes(&self, function: &str) -> serde_json::Value {
        self.tries_to_invoke(function).await.unwrap_or_else(|error| panic!("{function}: {error}"))
    }

    /// The same without a panic if the function fails.
    ///
    /// # Errors
    /// What the function says of its failure.
    pub async fn tries_to_invoke(&self, function: &str) -> Result<serde_json::Value, String> {
        let url = self.invocations(function);
        let answer = reqwest::Client::new().post(url).body("{}").send().await.expect("the stack is running");
        if answer.headers().contains_key("x-amz-function-error") {
            return Err(answer.text().await.unwrap_or_default());
        }
        Ok(answer.json().await.expect("a function answers in JSON"))
    }

    /// Starts a stack, and waits until it is ready.
    ///
    /// `cargo dev` starts the first stack of each template, and builds what it needs. Later ones run what was
    /// built, since cargo takes half a second to find that nothing has changed. So parameters must not decide
    /// on the binaries of a template.
    pub fn start(options: &StackOptions<'_>) -> Self {
        /// The program of the first stack, by profile and template.
        type Built = BTreeMap<(Option<String>, Option<String>), PathBuf>;
        static BUILT: Mutex<Built> = Mutex::new(Built::new());
        if options.args.contains(&"--watch") {
            return Self::start_by(cargo_dev(options.profile), options);
        }
        let template = options.args.iter().skip_while(|arg| **arg != "--template").nth(1);
        let key = (options.profile.map(str::to_owned), template.map(|path| (*path).to_owned()));
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(local) = built.get(&key).cloned() {
            drop(built);
            return Self::start_by(built_stack(&local), options);
        }
        // Other threads wait for the build.
        let stack = Self::start_by(cargo_dev(options.profile), options);
        // Cargo has become the program that it runs. Without /proc, cargo starts the later ones too.
        if let Ok(local) = std::fs::read_link(format!("/proc/{}/exe", stack.pid)) {
            built.insert(key, local);
        }
        stack
    }

    fn start_by(mut command: Command, options: &StackOptions<'_>) -> Self {
        let folder = options.data_dir.is_none().then(folder);
        let data_dir =
            options.data_dir.unwrap_or_else(|| folder.as_ref().expect("made if none is given").path());
        let log = data_dir.join("stack.log");
        let secret = format!("{}{}", Uuid::new_v4(), Uuid::new_v4());
        let hasty = ["--postgres-setting", "fsync=off", "--postgres-setting", "full_page_writes=off"];
        let mut child = command
            .args(options.args)
            .args(["--port", "0", "--stop-with-stdin", "--data-dir"])
            .arg(data_dir)
            .args(if options.durable { &[][..] } else { &hasty })
            .args(if options.args.contains(&"--log-format") { &[][..] } else { &["--log-format", "json"] })
            .args(options.database_url.iter().flat_map(|url| ["--database-url", url]))
            .env("JWT_SECRET", &secret)
            .envs(options.env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the folder was just made"))
            .spawn()
            .expect("cargo and what it has built can be run");
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

    /// A token with these claims and a valid signature.
    pub fn token(&self, claims: &serde_json::Value) -> String {
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("claims are JSON")
    }

    /// The id of the connection of a connected user.
    pub async fn connection_of(&self, user: &str) -> String {
        let all = reqwest::get(self.http("/dev/connections")).await.expect("the stack is running");
        let all: serde_json::Value = all.json().await.expect("it is JSON");
        let all = all["connections"].as_array().expect("it is a list");
        let own = all.iter().find(|connection| connection["authorizer"]["principalId"] == user);
        own.and_then(|own| own["connectionId"].as_str()).expect("they are connected").to_owned()
    }

    /// The URL of a function in the Invoke API.
    pub fn invocations(&self, function: &str) -> String {
        self.http(&format!("/2015-03-31/functions/{function}/invocations"))
    }

    /// The URL of the database.
    pub fn postgres_url(&self) -> &str {
        self.postgres_url.as_deref().expect("printed before `ready`")
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        self.log.parent().expect("the log is in it")
    }

    /// The URL of a path of the HTTP API.
    pub fn http(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The log of the stack and its functions.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("it was made at the start")
    }

    /// The JSON lines of functions, each with the name of the function.
    pub fn lines(&self) -> Vec<(String, serde_json::Value)> {
        self.records("function")
    }

    /// The log records of a type, each with the name of the function.
    pub fn records(&self, of_type: &str) -> Vec<(String, serde_json::Value)> {
        let entries = self.log();
        let entries = entries.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        entries
            .filter(|entry| entry["type"] == of_type)
            .filter_map(|entry| Some((entry["function"].as_str()?.to_owned(), entry["record"].clone())))
            .collect()
    }

    /// Sends a signal to the gateway.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid.cast_signed()), signal).expect("it is running");
    }

    /// Kills the processes of a function. Returns how many were killed.
    pub fn kills(&self, function: &str) -> usize {
        let processes = crate::children(self.pid).into_iter().filter(|(_, name)| name == function);
        // A process may have ended meanwhile.
        processes.filter(|(pid, _)| kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).is_ok()).count()
    }

    /// Lets the gateway stand still until the guard is dropped.
    pub fn pauses(&self) -> Pause {
        let pid = Pid::from_raw(self.pid.cast_signed());
        kill(pid, Signal::SIGSTOP).expect("it is running");
        Pause(pid)
    }

    /// Waits until the gateway ends.
    pub fn wait(&self) -> ExitStatus {
        self.child().wait().expect("it is our child")
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that stands still.
#[derive(Debug)]
pub struct Pause(Pid);

impl Drop for Pause {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
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
pub fn run_to_end(args: &[&str]) -> Output {
    run_to_end_with(args, &[])
}

/// The same with variables set.
pub fn run_to_end_with(args: &[&str], env: &[(&str, &str)]) -> Output {
    let folder = folder();
    let child = cargo_dev(None)
        .args(args)
        .envs(env.iter().copied())
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
pub fn folder() -> TempDir {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new()
        .prefix("switchboard-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .expect("there is a temporary folder")
}

/// `cargo dev`. The alias takes no profile, so with one the command is written in full.
fn cargo_dev(profile: Option<&str>) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg("--quiet");
    match profile {
        Some(profile) => {
            cargo.args(["run", "--profile", profile, "--bin", "local", "--", "--profile", profile])
        }
        None => cargo.arg("dev"),
    };
    in_checkout(cargo)
}

/// Runs the program `local` with the functions in its folder.
fn built_stack(local: &Path) -> Command {
    let mut command = Command::new(local);
    command.arg("--binaries").arg(local.parent().expect("it is a file in a folder"));
    in_checkout(command)
}

/// Sets the checkout as working directory, and removes variables that would change a stack.
fn in_checkout(mut command: Command) -> Command {
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
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

/// A time in seconds since 1970, as tokens have it.
pub fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    now.as_secs().cast_signed() + seconds
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

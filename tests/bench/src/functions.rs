//! Each function alone, behind a minimal Runtime API: how fast it starts, and what an event costs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use harness::Stack;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::measure::{Times, cpu, memory};
use crate::stack::{connect, conversation, join, token, variables};

/// The number of cold starts of each function, and of events after that.
const STARTS: usize = 15;
const EVENTS: usize = 300;

/// In this order: the last one ends the connection that the others use.
const FUNCTIONS: [&str; 15] = [
    "migrate",
    "authorize",
    "connect",
    "join_conversation",
    "send_message",
    "mark_read",
    "typing",
    "ping",
    "leave_conversation",
    "unknown_action",
    "list_conversations",
    "list_messages",
    "find_or_create_conversation",
    "sweep_connections",
    "disconnect",
];

/// Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// MB.
    pub(crate) size: f64,
    /// From spawn until it asks for its first event.
    pub(crate) first_next: Times,
    /// From spawn until its first event is answered.
    pub(crate) first_answer: Times,
    pub(crate) warm: Times,
    /// Processor time of a warm event.
    pub(crate) warm_cpu: f64,
    /// Time of a warm event that is neither processor time nor a wait for Postgres, DynamoDB or a callback,
    /// from the log of the function.
    pub(crate) warm_idle: f64,
    /// MB.
    pub(crate) resident: f64,
}

/// The function of the process that is measured.
enum Did {
    AskedForAnEvent(Instant),
    Answered(Instant, String),
    Failed(String),
}

/// A Runtime API for one process. A killed process may have left a request, which must not get the next one's
/// event.
struct Runtime {
    _server: JoinSet<std::io::Result<()>>,
    address: String,
    events: mpsc::Sender<String>,
    did: mpsc::Receiver<Did>,
}

struct Serving {
    events: Mutex<mpsc::Receiver<String>>,
    did: mpsc::Sender<Did>,
}

pub(crate) async fn measure(stack: &Stack) -> Vec<Function> {
    // The users in `tests/events`.
    let (mut alice, mut bob) = (connect(stack, "alice").await, connect(stack, "bob").await);
    let conversation = conversation(stack, "alice", "bob").await;
    join(&mut alice, &conversation).await;
    join(&mut bob, &conversation).await;
    // A connection that receives the pushes.
    tokio::spawn(async move { while bob.next_whenever().await.is_some() {} });
    let connection = stack.connection_of("alice").await;
    let event = |name: &str| {
        let text = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../events/{name}.json")),
        )
        .unwrap();
        text.replace("a token: cargo dev token alice", &token(stack, "alice"))
            .replace("QQFxqeZfIAMCKRA=", &connection)
            .replace("0197f1c0-0000-7000-8000-000000000000", &conversation)
    };
    let variables = variables(stack);
    let mut all = Vec::new();
    for name in FUNCTIONS {
        eprintln!("function: {name}");
        all.push(one(name, name, &variables, &event(name)).await);
        if name == "send_message" {
            // The stack has no rate limit, so this measures its cost.
            let mut limited = variables.clone();
            limited.insert("MAX_MESSAGES_PER_MINUTE".to_owned(), "1000000".to_owned());
            all.push(one("send_message, limited", name, &limited, &event(name)).await);
        }
    }
    all
}

async fn one(title: &'static str, name: &str, variables: &BTreeMap<String, String>, event: &str) -> Function {
    let binary = std::env::current_exe().unwrap().with_file_name(name);
    let (mut first_next, mut first_answer) = (Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..STARTS {
        // One process at a time.
        drop(last.take());
        let mut runtime = serve().await;
        let spawned = Instant::now();
        let log = tempfile::tempfile().unwrap();
        let child = start(&binary, name, &runtime.address, variables, log.try_clone().unwrap());
        let asked = runtime.asked().await;
        first_next.push(asked - spawned);
        let answered = runtime.answers(event).await;
        first_answer.push(answered - spawned);
        runtime.asked().await;
        last = Some((child, runtime, log));
    }
    let (child, mut runtime, log) = last.expect("it was started");
    let pid = child.id().unwrap();
    let (mut warm, before) = (Vec::new(), cpu(pid));
    for _ in 0..EVENTS {
        let given = Instant::now();
        warm.push(runtime.answers(event).await - given);
        runtime.asked().await;
    }
    Function {
        name: title,
        size: std::fs::metadata(&binary).unwrap().len() as f64 / 1e6,
        first_next: Times::of(first_next),
        first_answer: Times::of(first_answer),
        warm: Times::of(warm),
        warm_idle: idle(log),
        warm_cpu: (cpu(pid) - before) * 1e3 / EVENTS as f64,
        resident: memory(pid).resident,
    }
}

/// The mean over the log lines of warm events.
fn idle(mut log: File) -> f64 {
    log.rewind().unwrap();
    let lines = BufReader::new(log).lines().map_while(Result::ok);
    let said = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok()?["idle_ms"].as_f64());
    let warm: Vec<f64> = said.skip(1).collect();
    assert_eq!(warm.len(), EVENTS, "each event has its line");
    warm.iter().sum::<f64>() / warm.len() as f64
}

fn start(binary: &Path, name: &str, address: &str, variables: &BTreeMap<String, String>, log: File) -> Child {
    Command::new(binary)
        .env_clear()
        .envs(variables)
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "bench")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", binary.display()))
}

impl Runtime {
    /// Waits until the process asks for an event.
    async fn asked(&mut self) -> Instant {
        match self.next().await {
            Did::AskedForAnEvent(at) => at,
            Did::Answered(_, answer) => panic!("answered twice: {answer}"),
            Did::Failed(error) => panic!("{error}"),
        }
    }

    /// Sends an event to the process, and waits for the result. Each message is another one.
    async fn answers(&mut self, event: &str) -> Instant {
        let event = event.replace("my-first", &Uuid::new_v4().to_string());
        self.events.send(event).await.unwrap();
        match self.next().await {
            Did::Answered(at, answer) => {
                assert!(
                    !answer.contains(r#""type":"error""#) || answer.contains("unknown action"),
                    "{answer}"
                );
                at
            }
            Did::AskedForAnEvent(_) => panic!("it asked again before it answered"),
            Did::Failed(error) => panic!("{error}"),
        }
    }

    async fn next(&mut self) -> Did {
        timeout(Duration::from_secs(20), self.did.recv()).await.expect("the function goes on").unwrap()
    }
}

async fn serve() -> Runtime {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (events, queue) = mpsc::channel(1);
    let (did, doings) = mpsc::channel(4);
    let serving = Arc::new(Serving { events: Mutex::new(queue), did });
    let routes = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{request_id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{request_id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(error))
        .with_state(serving);
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, routes).await });
    Runtime { _server: server, address, events, did: doings }
}

async fn next(State(serving): State<Arc<Serving>>) -> ([(&'static str, String); 3], String) {
    serving.did.send(Did::AskedForAnEvent(Instant::now())).await.unwrap();
    let event = serving.events.lock().await.recv().await;
    let Some(event) = event else { return std::future::pending().await };
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(30);
    let headers = [
        ("lambda-runtime-aws-request-id", Uuid::new_v4().to_string()),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:bench".to_owned(),
        ),
    ];
    (headers, event)
}

async fn response(State(serving): State<Arc<Serving>>, answer: String) -> (StatusCode, String) {
    serving.did.send(Did::Answered(Instant::now(), answer)).await.unwrap();
    (StatusCode::ACCEPTED, json!({ "status": "OK" }).to_string())
}

async fn error(State(serving): State<Arc<Serving>>, error: String) -> (StatusCode, String) {
    serving.did.send(Did::Failed(error)).await.unwrap();
    (StatusCode::ACCEPTED, json!({ "status": "OK" }).to_string())
}

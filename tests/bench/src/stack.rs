//! The stack that is measured, and its users.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::measure::Usage;

const SECRET: &str = "a secret that lasts as long as a benchmark and signs nothing else";

/// What takes longer than this never ends.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Stack {
    child: Child,
    pub(crate) postgres_url: String,
    port: u16,
    folder: TempDir,
}

impl Stack {
    /// Builds the stack, optimised if this is, and starts it.
    pub(crate) fn start() -> Self {
        raise_open_files();
        let folder = tempfile::Builder::new()
            .prefix("switchboard-bench-")
            // Postgres runs as another user when this is root.
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let release: &[_] = if cfg!(debug_assertions) { &[] } else { &["--release"] };
        let mut child = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .args(["run", "--quiet", "--bin", "local"])
            .args(release)
            .arg("--")
            .args(release)
            .args(["--ephemeral", "--port", "0", "--stop-with-stdin", "--data-dir"])
            .arg(folder.path())
            // The throttle of the stage stays in the path, but must not limit the load.
            .args(["--parameter-overrides", "FrameRate=100000", "RequestRate=100000"])
            .env("JWT_SECRET", SECRET)
            .env("MAX_MESSAGES_PER_MINUTE", "0")
            .env("MAX_CONVERSATIONS_PER_MINUTE", "0")
            .env("MAX_CONNECTIONS_PER_USER", "2000")
            .env_remove("DATABASE_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("stack.log")).unwrap())
            .spawn()
            .unwrap();
        let (mut port, mut postgres_url) = (None, None);
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            match line.split_once(' ').map(|(name, rest)| (name, rest.trim())) {
                Some(("Postgres", url)) => postgres_url = Some(url.to_owned()),
                Some(("WebSocket", url)) => port = url.split([':', '/']).find_map(|part| part.parse().ok()),
                Some(("ready", _)) => break,
                _ => {}
            }
        }
        let started = port.zip(postgres_url);
        let Some((port, postgres_url)) = started else {
            panic!("the stack did not start:\n{}", log(&folder));
        };
        Self { child, postgres_url, port, folder }
    }

    pub(crate) fn http(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::now(self.child.id())
    }

    /// The log of the functions.
    pub(crate) fn log(&self) -> String {
        log(&self.folder)
    }

    /// The variables of the functions, from the file that `cargo dev` writes.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(self.folder.path().join("functions.env")).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    pub(crate) async fn postgres(&self) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(&self.postgres_url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// The conversation of two users who have connected before.
    pub(crate) async fn conversation(&self, from: &str, with: &str) -> String {
        let request = reqwest::Client::new().post(self.http("/api/conversations/find-or-create"));
        let request = request.bearer_auth(token(from)).json(&json!({ "otherUserId": with }));
        let found: Value = request.send().await.unwrap().json().await.unwrap();
        found["conversationId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn connects(&self, user: &str) -> Socket {
        let url = format!("ws://127.0.0.1:{}/v1?token={}", self.port, token(user));
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Socket(socket)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // It stops when its standard input ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A token that is valid for the whole run.
pub(crate) fn token(user: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "sub": user, "exp": now + 3600, "name": format!("{user} Example") });
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// An open connection.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn sends(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame.
    pub(crate) async fn receives(&mut self) -> Value {
        loop {
            let next = timeout(PATIENCE, self.0.next()).await.expect("the stack goes on");
            match next.expect("the connection stays open").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("waited for a frame and got {other:?}"),
            }
        }
    }

    /// Ignores frames until the connection is closed.
    pub(crate) async fn ignores(mut self) {
        while let Some(Ok(_)) = self.0.next().await {}
    }

    /// Sends a frame and waits for its answer.
    pub(crate) async fn asks(&mut self, mut frame: Value) -> Value {
        frame["id"] = "asked".into();
        self.sends(&frame).await;
        loop {
            let answer = self.receives().await;
            if answer["message"].is_string() || answer["id"] == "asked" {
                return answer;
            }
        }
    }

    pub(crate) async fn joins(&mut self, conversation: &str) {
        let answer =
            self.asks(json!({ "action": "join_conversation", "conversationId": conversation })).await;
        assert_eq!(answer["type"], "joined_conversation", "{answer}");
    }
}

fn log(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join("stack.log")).unwrap_or_default()
}

/// Each connection is an open file.
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

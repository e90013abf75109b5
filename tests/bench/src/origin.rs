//! The origin design: the server in `tests/bench/origin`.
//!
//! It is a Node process beside the stack, with a database of its own on the stack's Postgres server.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use harness::{Database, Socket, Stack, connect};
use serde_json::{Value, json};

use crate::measure::Usage;
use crate::rest::{USERS, World, user};
use crate::stack::token;

/// The oldest major version of Node that Prisma runs on.
const NODE: u32 = 20;

/// The running server.
pub(crate) struct Origin {
    child: Child,
    port: u16,
    database: Database,
}

impl Origin {
    /// Installs and starts the server. `None` if there is no Node or an older one, or no npm to install it.
    pub(crate) async fn start(stack: &std::sync::Arc<Stack>) -> Option<Self> {
        let version = Command::new("node").arg("--version").output().ok()?;
        let version = String::from_utf8(version.stdout).ok()?;
        let version: u32 = version.trim().trim_start_matches('v').split('.').next()?.parse().ok()?;
        if version < NODE {
            return None;
        }
        let folder = install()?;
        let database = Database::on(stack.clone()).await;
        let schema = include_str!("../origin/schema.sql");
        connect(&database.url).await.batch_execute(schema).await.unwrap();
        let mut child = Command::new("node")
            .arg("server.mjs")
            .current_dir(folder)
            .env("DATABASE_URL", &database.url)
            .env("JWT_SECRET", &stack.secret)
            .env("NODE_ENV", "production")
            .env("PORT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("ready ").and_then(|port| port.parse().ok());
        Some(Self {
            child,
            port: port.unwrap_or_else(|| panic!("the origin did not start: {line}")),
            database,
        })
    }

    /// The usage of its process.
    pub(crate) fn usage(&self) -> Usage {
        Usage::now(self.child.id())
    }

    pub(crate) fn database_url(&self) -> &str {
        &self.database.url
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The conversation of two users who have connected before.
    pub(crate) async fn conversation(&self, stack: &Stack, from: &str, with: &str) -> String {
        let request = reqwest::Client::new().post(format!("{}/api/conversations/find-or-create", self.url()));
        let request = request.bearer_auth(token(stack, from)).json(&json!({ "otherUserId": with }));
        let found: Value = request.send().await.unwrap().json().await.unwrap();
        found["conversationId"].as_str().unwrap_or_else(|| panic!("{found}")).to_owned()
    }

    /// Opens a connection, as a client of Socket.IO over Engine.IO's WebSocket transport does.
    pub(crate) async fn connect(&self, stack: &Stack, user: &str) -> Socket {
        let url = format!("ws://127.0.0.1:{}/socket.io/?EIO=4&transport=websocket", self.port);
        let mut socket = Socket::connect(url).await.unwrap();
        let opened = socket.receives().await;
        assert!(opened.starts_with('0'), "{opened}");
        socket.sends(format!("40{}", json!({ "token": token(stack, user) }))).await;
        let connected = socket.receives().await;
        assert!(connected.starts_with("40"), "{connected}");
        socket
    }

    /// The conversations of `rest`, in this database.
    pub(crate) async fn world(&self, stack: &Stack) -> World {
        let postgres = connect(&self.database.url).await;
        postgres
            .batch_execute(
                "insert into users (id, name, display_name)
                   select 'rest-' || to_char(n, 'FM000'), 'Rest ' || n, 'Rest' from generate_series(0, 199) n;
                 insert into conversations (id, first_user_id, second_user_id, last_message_at)
                   select gen_random_uuid(), least(one.id, other.id), greatest(one.id, other.id),
                     clock_timestamp()
                   from generate_series(0, 199) n, generate_series(1, 5) step
                   join lateral (select 'rest-' || to_char(n, 'FM000') as id) one on true
                   join lateral (select 'rest-' || to_char((n + step) % 200, 'FM000') as id) other on true;
                 insert into messages (id, conversation_id, sender_id, content, created_at, read_at)
                   select gen_random_uuid(), id, case seq % 2 when 0 then first_user_id else second_user_id
                     end,
                     'message ' || seq || ' of a hundred, as long as people write them in a chat',
                     clock_timestamp() + seq * interval '1 microsecond', clock_timestamp()
                   from conversations, generate_series(1, 100) seq where first_user_id like 'rest-%';
                 analyze;",
            )
            .await
            .unwrap();
        let sql = "select c.id, c.first_user_id, c.second_user_id, m.id as middle from conversations c
             cross join lateral (
               select id from messages where conversation_id = c.id order by created_at offset 50 limit 1
             ) m where c.first_user_id like 'rest-%'";
        let rows = postgres.query(sql, &[]).await.unwrap();
        let tokens = (0..USERS).map(|n| token(stack, &user(n))).collect();
        World::new(self.url(), tokens, &rows)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // It stops when its standard input ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Sends a message, and waits for its acknowledgement.
pub(crate) async fn send(socket: &mut Socket, conversation: &str, content: &str) {
    let data = json!(["send_message", { "conversationId": conversation, "content": content }]);
    acknowledged(socket, &data).await;
}

/// Joins a conversation.
pub(crate) async fn join(socket: &mut Socket, conversation: &str) {
    acknowledged(socket, &json!(["join_conversation", { "conversationId": conversation }])).await;
}

/// Waits until the user of a connection is stored.
pub(crate) async fn is_known(socket: &mut Socket) {
    socket
        .sends(format!("421{}", json!(["join_conversation", { "conversationId": uuid::Uuid::nil() }])))
        .await;
    while !packet(socket).await.starts_with("431") {}
}

/// The content of the next pushed message, and when it came.
pub(crate) async fn next_message(socket: &mut Socket) -> (String, Instant) {
    loop {
        if let Some(event) = packet(socket).await.strip_prefix("42") {
            let event: Value = serde_json::from_str(event).unwrap();
            if event[0] == "new_message" {
                return (event[1]["content"].as_str().unwrap().to_owned(), Instant::now());
            }
        }
    }
}

async fn acknowledged(socket: &mut Socket, event: &Value) {
    socket.sends(format!("421{event}")).await;
    loop {
        if let Some(answer) = packet(socket).await.strip_prefix("431") {
            assert!(!answer.starts_with(r#"[{"error""#), "{answer}");
            return;
        }
    }
}

/// The next packet that is not a ping of Engine.IO, which has to be answered.
async fn packet(socket: &mut Socket) -> String {
    loop {
        let packet = socket.receives().await;
        if packet != "2" {
            return packet;
        }
        socket.sends("3").await;
    }
}

/// Installs the packages and generates the Prisma client. Returns the folder, or `None` if that fails.
fn install() -> Option<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("origin");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/origin");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["package.json", "prisma.config.mjs", "schema.prisma", "server.mjs"] {
        std::fs::copy(source.join(file), folder.join(file)).unwrap();
    }
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&folder).stdout(Stdio::null());
        // Prisma's schema engine is not in its package. Only migrations use it.
        command.env("PRISMA_SCHEMA_ENGINE_BINARY", "/bin/true").env("CHECKPOINT_DISABLE", "1");
        command.status().is_ok_and(|status| status.success())
    };
    let installed = run("npm", &["install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]);
    (installed && run("npx", &["prisma", "generate", "--no-hints"])).then_some(folder)
}

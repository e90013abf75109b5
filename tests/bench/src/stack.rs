//! The stack that is measured, and its users.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use harness::{Refused, Socket, Stack, StackOptions, raise_open_files, seconds_from_now};
use serde_json::{Value, json};

/// The limits that would limit the load.
pub(crate) const ENV: [(&str, &str); 3] = [
    ("MAX_MESSAGES_PER_MINUTE", "0"),
    ("MAX_CONVERSATIONS_PER_MINUTE", "0"),
    ("MAX_CONNECTIONS_PER_USER", "2000"),
];

/// The profile of cargo that this program is built with, if it is not `dev`: the name of the folder it is in.
pub(crate) fn profile() -> Option<String> {
    let this = std::env::current_exe().unwrap();
    let folder = this.parent().and_then(Path::file_name).unwrap().to_str().unwrap();
    (folder != "debug").then(|| folder.to_owned())
}

/// Builds the stack as this program is built, and starts it.
pub(crate) fn start() -> Stack {
    raise_open_files();
    Stack::start(&StackOptions {
        // The throttle of the stage stays in the path, but must not limit the load.
        args: &["--ephemeral", "--parameter-overrides", "FrameRate=100000", "RequestRate=100000"],
        env: &ENV,
        durable: true,
        profile: profile().as_deref(),
        ..StackOptions::default()
    })
}

/// The variables of the functions, from the file that `cargo dev` writes.
pub(crate) fn variables(stack: &Stack) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(stack.data_dir().join("functions.env")).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A token that is valid for the whole run.
pub(crate) fn token(stack: &Stack, user: &str) -> String {
    let claims = json!({ "sub": user, "exp": seconds_from_now(3600), "name": format!("{user} Example") });
    stack.token(&claims)
}

/// The conversation of two users who have connected before.
pub(crate) async fn conversation(stack: &Stack, from: &str, with: &str) -> String {
    let request = reqwest::Client::new().post(stack.http("/api/conversations/find-or-create"));
    let request = request.bearer_auth(token(stack, from)).json(&json!({ "otherUserId": with }));
    let found: Value = request.send().await.unwrap().json().await.unwrap();
    found["conversationId"].as_str().unwrap().to_owned()
}

/// Opens a connection. The template limits new ones to 500 a second, so one that is refused is tried again.
pub(crate) async fn connect(stack: &Stack, user: &str) -> Socket {
    let path = format!("v1?token={}", token(stack, user));
    for _ in 0..100 {
        match Socket::open(stack, &path).await {
            Err(Refused { status: 429, .. }) => tokio::time::sleep(Duration::from_millis(100)).await,
            opened => return opened.unwrap(),
        }
    }
    panic!("no connection for ten seconds: too many new ones")
}

/// Sends a frame and waits for its answer.
pub(crate) async fn ask(socket: &mut Socket, mut frame: Value) -> Value {
    frame["id"] = "asked".into();
    socket.sends(frame.to_string()).await;
    loop {
        let answer = socket.receives_json().await;
        if answer["message"].is_string() || answer["id"] == "asked" {
            return answer;
        }
    }
}

/// Joins a conversation.
pub(crate) async fn join(socket: &mut Socket, conversation: &str) {
    let frame = json!({ "action": "join_conversation", "conversationId": conversation });
    let answer = ask(socket, frame).await;
    assert_eq!(answer["type"], "joined_conversation", "{answer}");
}

/// Sends a message, and waits until it is stored.
pub(crate) async fn send(socket: &mut Socket, conversation: &str, content: &str) {
    let frame = json!({
        "action": "send_message",
        "conversationId": conversation,
        "content": content,
        "clientMessageId": uuid::Uuid::new_v4(),
    });
    let answer = ask(socket, frame).await;
    assert_eq!(answer["type"], "new_message", "{answer}");
}

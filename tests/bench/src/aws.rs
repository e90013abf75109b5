//! What Lambda would bill: functions with the processor share of their memory, frozen between events, over
//! TLS and as far from everything as on AWS.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use harness::{Socket, Stack, StackOptions, children, eventually};
use serde::Serialize;
use serde_json::{Value, json};

use crate::measure::Times;
use crate::stack::{ENV, ask, connect, conversation, join, profile, send, token};

/// The memory sizes that are compared, in MB. The last one buys a whole processor.
const SIZES: [u32; 5] = [128, 256, 512, 1024, 1769];

/// The prices of Lambda in us-east-1 for x86_64: a million requests, and a GB for a million milliseconds.
const REQUESTS: f64 = 0.20;
const GB_MS: f64 = 0.016_666_7;

/// Functions whose events nobody waits for are left out.
const FUNCTIONS: [&str; 14] = [
    "authorize",
    "connect",
    "disconnect",
    "join_conversation",
    "leave_conversation",
    "send_message",
    "change_message",
    "mark_read",
    "typing",
    "ping",
    "list_conversations",
    "list_messages",
    "find_or_create_conversation",
    "manage_conversations",
];

/// A send to so many connections more, whose pushes take processor time.
const MANY: usize = 49;
const TO_MANY: &str = "send_message, to 50";

/// Times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Billed {
    pub(crate) function: &'static str,
    /// MB.
    pub(crate) memory: u64,
    /// Whether it had the processor share of its memory.
    pub(crate) has_share: bool,
    /// How long a process takes to ask for its first event.
    pub(crate) start: Times,
    pub(crate) first: Times,
    pub(crate) warm: Times,
    /// What is billed for a warm event: whole milliseconds.
    pub(crate) billed: f64,
    /// Dollars for a million warm events.
    pub(crate) million: f64,
    /// The calls of a warm event to Postgres and to DynamoDB, and its pushes.
    pub(crate) calls: [u64; 3],
}

struct World {
    stack: Stack,
    alice: Socket,
    bob: Socket,
    conversation: String,
    message: String,
    token: String,
    http: reqwest::Client,
}

/// Measures with the memory of the template: `starts` processes and `events` warm events of each function.
pub(crate) async fn measure(starts: u32, events: u64) -> Vec<Billed> {
    with(None, starts, events).await
}

/// Measures with each size of memory.
pub(crate) async fn sizes(starts: u32, events: u64) -> Vec<Billed> {
    let mut all = Vec::new();
    for size in SIZES {
        all.extend(with(Some(size), starts, events).await);
    }
    all
}

async fn with(memory: Option<u32>, starts: u32, events: u64) -> Vec<Billed> {
    eprintln!(
        "as on AWS: {}",
        memory.map_or("the template's memory".to_owned(), |size| format!("{size} MB"))
    );
    let mut world = World::new(memory).await;
    for _ in 0..starts {
        let before = children(world.stack.pid);
        for function in FUNCTIONS {
            world.stack.kills(function);
        }
        let killed = |pid| before.iter().any(|(of, name)| *of == pid && FUNCTIONS.contains(&&**name));
        let noticed = async || !children(world.stack.pid).iter().any(|(pid, _)| killed(*pid));
        eventually("the gateway has noticed", noticed).await;
        world.acts(0).await;
    }
    for round in 0..events {
        world.acts(round).await;
    }
    let rounds = starts as usize + events as usize;
    is_reported(&world.stack, "disconnect", rounds).await;
    let lines = world.stack.lines();
    let mut all: Vec<_> = FUNCTIONS
        .map(|function| billed(function, &metrics(&world.stack, function), calls(&lines, function)))
        .into();
    let before = metrics(&world.stack, "send_message").len();
    world.sends_to_many(events).await;
    is_reported(&world.stack, "send_message", before + events as usize).await;
    let to_many = metrics(&world.stack, "send_message").split_off(before);
    all.push(billed(TO_MANY, &to_many, calls(&world.stack.lines(), "send_message")));
    // The stack says so when it cannot give shares.
    let has_share = !world.stack.log().contains("all processors");
    all.iter_mut().for_each(|one| one.has_share = has_share);
    all
}

/// Waits until so many events of a function are in the log, each with its line and its report.
async fn is_reported(stack: &Stack, function: &str, events: usize) {
    let lines = || stack.lines().into_iter().filter(|(of, line)| of == function && line["outcome"] == "ok");
    let reported = async || metrics(stack, function).len() >= events && lines().count() >= events;
    eventually("each event is reported", reported).await;
}

/// What was reported of each event of a function.
fn metrics(stack: &Stack, function: &str) -> Vec<Value> {
    let reports = stack.records("platform.report").into_iter().filter(|(of, _)| of == function);
    reports.map(|(_, mut report)| report["metrics"].take()).collect()
}

/// The calls of the last event of a function, as its line tells them.
fn calls(lines: &[(String, Value)], function: &str) -> [u64; 3] {
    let line = lines.iter().rev().find(|(of, line)| of == function && line["outcome"] == "ok");
    let count = |name: &str| line.and_then(|(_, line)| line[name].as_u64()).unwrap_or(0);
    ["postgres_calls", "dynamodb_calls", "pushes"].map(count)
}

fn billed(function: &'static str, metrics: &[Value], calls: [u64; 3]) -> Billed {
    let durations = |key: &str, cold: bool| -> Vec<f64> {
        let some = metrics.iter().filter(|metrics| metrics["initDurationMs"].is_number() == cold);
        some.filter_map(|metrics| metrics[key].as_f64()).collect()
    };
    let times = |all: &[f64]| Times::of(all.iter().map(|ms| Duration::from_secs_f64(ms / 1e3)).collect());
    let warm = durations("durationMs", false);
    let mean = warm.iter().map(|ms| ms.ceil()).sum::<f64>() / warm.len() as f64;
    let memory = metrics[0]["memorySizeMB"].as_u64().unwrap();
    Billed {
        function,
        memory,
        has_share: true,
        start: times(&durations("initDurationMs", true)),
        first: times(&durations("durationMs", true)),
        warm: times(&warm),
        billed: times(&warm).p50.ceil(),
        million: REQUESTS + mean * memory as f64 / 1024.0 * GB_MS,
        calls,
    }
}

impl World {
    async fn new(memory: Option<u32>) -> Self {
        let memory = memory.map(|size| format!("--memory={size}"));
        let args: Vec<&str> = ["--ephemeral", "--as-on-aws"].into_iter().chain(memory.as_deref()).collect();
        let stack = Stack::start(&StackOptions {
            args: &args,
            env: &ENV,
            durable: true,
            profile: profile().as_deref(),
            ..StackOptions::default()
        });
        let (mut alice, mut bob) = (connect(&stack, "alice").await, connect(&stack, "bob").await);
        let conversation = conversation(&stack, "alice", "bob").await;
        join(&mut alice, &conversation).await;
        join(&mut bob, &conversation).await;
        let frame =
            json!({ "action": "send_message", "conversationId": conversation, "content": "The first." });
        let sent = ask(&mut alice, frame).await;
        let message = sent["data"]["id"].as_str().unwrap().to_owned();
        let token = token(&stack, "alice");
        Self { stack, alice, bob, conversation, message, token, http: reqwest::Client::new() }
    }

    /// Sends while many connections have joined.
    async fn sends_to_many(&mut self, events: u64) {
        // Seven at once: all of them write to one room.
        for _ in 0..MANY / 7 {
            let opening = (0..7).map(async |_| {
                let mut socket = connect(&self.stack, "bob").await;
                join(&mut socket, &self.conversation).await;
                tokio::spawn(async move { while socket.next_whenever().await.is_some() {} });
            });
            join_all(opening).await;
        }
        for _ in 0..events {
            send(&mut self.alice, &self.conversation, "Shall we all?").await;
        }
    }

    /// One event for each function, one after the other.
    async fn acts(&mut self, round: u64) {
        let visitor = connect(&self.stack, "alice").await;
        visitor.closes(None).await;
        let conversation = self.conversation.clone();
        let about = |action: &str| json!({ "action": action, "conversationId": conversation });
        ask(&mut self.alice, about("leave_conversation")).await;
        join(&mut self.alice, &conversation).await;
        send(&mut self.alice, &conversation, "Shall we?").await;
        ask(&mut self.bob, about("mark_read")).await;
        let action = if round.is_multiple_of(2) { "add_reaction" } else { "remove_reaction" };
        let react = json!({ "action": action, "messageId": self.message, "reaction": "👍" });
        ask(&mut self.alice, react).await;
        self.alice.sends(about("typing_start").to_string()).await;
        while self.bob.receives_json().await["type"] != "user_typing" {}
        ask(&mut self.alice, json!({ "action": "ping" })).await;
        for path in ["", &format!("/{conversation}"), &format!("/{conversation}/messages?markRead=false")] {
            let url = self.stack.http(&format!("/api/conversations{path}"));
            let answer = self.http.get(url).bearer_auth(&self.token).send().await.unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
        }
        crate::stack::conversation(&self.stack, "alice", "bob").await;
    }
}

/// The functions in order, each with its figures by memory.
pub(crate) fn by_memory(all: &[Billed]) -> BTreeMap<&'static str, Vec<&Billed>> {
    let mut sorted: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for one in all {
        sorted.entry(one.function).or_default().push(one);
    }
    sorted
}

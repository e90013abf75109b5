//! Growth: how the duration of a request depends on the number of connections, messages and conversations.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Socket, Stack, connect as connect_to_postgres};
use serde::Serialize;
use serde_json::json;

use crate::measure::{Times, memory};
use crate::participants;
use crate::stack::{ask as ask_frame, connect, conversation, join, send, token};

/// The number of requests of each kind.
const TIMES: usize = 20;

/// The number of connections of one user that are opened at once: all of them write to the user's item.
const AT_ONCE: usize = 4;

#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) what: &'static str,
    pub(crate) of: usize,
    pub(crate) times: Times,
}

/// Connections that are open and do nothing.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Open {
    pub(crate) connections: usize,
    /// What each of the last 90 % has added to the gateway, with its items in DynamoDB, in KB.
    pub(crate) kb_each: f64,
}

pub(crate) async fn measure(stack: &Stack) -> (Vec<Growth>, Open) {
    let mut all = history(stack).await;
    all.extend(list(stack).await);
    // This is last: a thousand connections that close keep the stack busy for a while.
    all.extend(fan_out(stack).await);
    let (pings, open) = open().await;
    all.extend(pings);
    (all, open)
}

/// A ping while so many connections are open, and the memory that they take, on a stack of their own. Each
/// user has ten.
async fn open() -> (Vec<Growth>, Open) {
    const OF_A_USER: usize = 10;
    let stack = crate::stack::start();
    let mut pinging = connect(&stack, "pinging").await;
    let mut connections = Vec::new();
    let (mut pings, mut resident) = (Vec::new(), Vec::new());
    for size in [10, 100, 1_000, 10_000] {
        eprintln!("growth: {size} open connections");
        while connections.len() < size {
            let at_once = AT_ONCE.min(size - connections.len());
            let opening = (0..at_once).map(async |n| {
                let user = format!("open-{}", (connections.len() + n) / OF_A_USER);
                connect(&stack, &user).await
            });
            let opened = join_all(opening).await;
            connections.extend(opened);
        }
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let sent = Instant::now();
            ask_frame(&mut pinging, json!({ "action": "ping" })).await;
            times.push(sent.elapsed());
        }
        pings.push(Growth { what: "ping, open connections", of: size, times: Times::of(times) });
        resident.push((size, memory(stack.pid).resident));
    }
    let [.., (fewer, before), (connections, after)] = resident[..] else { unreachable!("four sizes") };
    (pings, Open { connections, kb_each: (after - before) * 1024.0 / (connections - fewer) as f64 })
}

/// From the send until the last of so many connections has received the message.
async fn fan_out(stack: &Stack) -> Vec<Growth> {
    let mut sender = connect(stack, "fan-sender").await;
    let mut connections: Vec<Socket> = vec![connect(stack, "fan-receiver").await];
    let conversation = conversation(stack, "fan-sender", "fan-receiver").await;
    join(&mut connections[0], &conversation).await;
    let mut all = Vec::new();
    for size in [1, 10, 100, 1000] {
        eprintln!("growth: fan-out to {size}");
        while connections.len() < size {
            let opening = (0..AT_ONCE.min(size - connections.len())).map(async |_| {
                let mut socket = connect(stack, "fan-receiver").await;
                join(&mut socket, &conversation).await;
                socket
            });
            connections.extend(join_all(opening).await);
        }
        let mut times = Vec::new();
        for n in 0..TIMES {
            let sent = Instant::now();
            let frame =
                json!({ "action": "send_message", "conversationId": conversation, "content": n.to_string() });
            sender.sends(frame.to_string()).await;
            let receiving = connections
                .iter_mut()
                .map(async |socket| while socket.receives_json().await["type"] != "new_message" {});
            join_all(receiving).await;
            times.push(sent.elapsed());
        }
        all.push(Growth { what: "fan-out, connections", of: size, times: Times::of(times) });
    }
    all
}

/// A send to a conversation of so many messages, until it is acknowledged.
async fn sends(sender: &mut Socket, conversation: &str, of: usize) -> Growth {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        send(sender, conversation, "one more").await;
        times.push(began.elapsed());
    }
    Growth { what: "send, messages", of, times: Times::of(times) }
}

/// Sends to a conversation of so many messages, and two pages of it: the newest, and one in the middle.
async fn history(stack: &Stack) -> Vec<Growth> {
    let postgres = connect_to_postgres(stack.postgres_url()).await;
    drop((connect(stack, "long-a").await, connect(stack, "long-b").await));
    let conversation = conversation(stack, "long-a", "long-b").await;
    let mut sender = connect(stack, "long-a").await;
    let mut all = Vec::new();
    let mut have = 0;
    for size in [0, 1_000, 10_000, 100_000, 1_000_000_usize] {
        eprintln!("growth: history of {size}");
        if size == 0 {
            all.push(sends(&mut sender, &conversation, size).await);
            have = TIMES;
            continue;
        }
        postgres
            .batch_execute(&format!(
                "insert into messages (id, conversation_id, seq, sender_id, content, created_at)
                   select gen_random_uuid(), '{conversation}', seq, 'long-a', 'message ' || seq,
                     clock_timestamp()
                   from generate_series({}, {size}) seq;
                 update conversations set last_seq = {size}, last_message_at = clock_timestamp() where id =
                   '{conversation}';
                 analyze messages;
                 checkpoint;",
                have + 1
            ))
            .await
            .unwrap();
        all.push(sends(&mut sender, &conversation, size).await);
        have = size + TIMES;
        let middle: uuid::Uuid = postgres
            .query_one(
                &format!(
                    "select id from messages where conversation_id = '{conversation}' and seq = {}",
                    size / 2
                ),
                &[],
            )
            .await
            .unwrap()
            .get(0);
        let path = format!("/api/conversations/{conversation}/messages");
        let newest = ask(stack, "long-a", &path).await;
        let before = ask(stack, "long-a", &format!("{path}?before={middle}")).await;
        all.push(Growth { what: "history, messages", of: size, times: newest });
        all.push(Growth { what: "before, messages", of: size, times: before });
    }
    all
}

/// The first page of the list of a user with so many conversations.
async fn list(stack: &Stack) -> Vec<Growth> {
    let postgres = connect_to_postgres(stack.postgres_url()).await;
    let mut all = Vec::new();
    for size in [10, 100, 1_000, 10_000_usize] {
        eprintln!("growth: {size} conversations");
        let user = format!("busy-{size}");
        participants::list(&postgres, &user, size).await;
        postgres.batch_execute("analyze").await.unwrap();
        let times = ask(stack, &user, "/api/conversations").await;
        all.push(Growth { what: "list, conversations", of: size, times });
    }
    all
}

async fn ask(stack: &Stack, user: &str, path: &str) -> Times {
    let (http, token) = (reqwest::Client::new(), token(stack, user));
    let mut times: Vec<Duration> = Vec::new();
    for n in 0..=TIMES {
        let asked = Instant::now();
        let answer = http.get(stack.http(path)).bearer_auth(&token).send().await.unwrap();
        let answer = answer.error_for_status().unwrap();
        answer.bytes().await.unwrap();
        // The first request opens the connection.
        if n > 0 {
            times.push(asked.elapsed());
        }
    }
    Times::of(times)
}

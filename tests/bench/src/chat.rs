//! Chat: pairs of users of whom one sends, waits for the answer, and sends again, while the other receives.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Socket, Stack};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{interval_at, timeout};

use crate::measure::{Kind, Times, Usage};
use crate::stack::{self, connect, conversation, join};

/// The numbers of concurrent senders.
const SENDERS: [usize; 4] = [1, 8, 32, 64];

/// The messages per second of the steady load, and its number of senders.
const RATE: u32 = 200;
const RATE_SENDERS: u32 = 16;

/// A message that is received later than this after the last send counts as lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// The measurements of one load.
#[derive(Debug, Serialize)]
pub(crate) struct Load {
    pub(crate) name: String,
    pub(crate) senders: usize,
    pub(crate) messages_per_second: f64,
    /// From send to receipt, in milliseconds.
    pub(crate) receipt: Times,
    pub(crate) lost: usize,
    pub(crate) duplicated: usize,
    pub(crate) out_of_order: usize,
    /// Milliseconds of CPU for each message.
    pub(crate) cpu_functions: f64,
    pub(crate) cpu_gateway: f64,
    pub(crate) cpu_postgres: f64,
    /// MB: of the largest function, of all of them, and of the others.
    pub(crate) resident_function: f64,
    pub(crate) resident_functions: f64,
    pub(crate) resident_gateway: f64,
    pub(crate) resident_postgres: f64,
    /// For each message, as the functions count them.
    pub(crate) postgres_calls: f64,
    pub(crate) dynamodb_calls: f64,
    pub(crate) pushes: f64,
    /// How the duration of `send_message` is spent, in milliseconds: the whole invocation, its waits, and the
    /// rest that is neither a wait nor work.
    pub(crate) event_ms: f64,
    pub(crate) postgres_ms: f64,
    pub(crate) dynamodb_ms: f64,
    pub(crate) pushes_ms: f64,
    pub(crate) idle_ms: f64,
}

struct Pair {
    sender: Socket,
    receiver: Socket,
    conversation: String,
}

/// What one receiver saw.
#[derive(Default)]
struct Received {
    times: Vec<Duration>,
    seen: HashSet<u64>,
    duplicated: usize,
    out_of_order: usize,
}

pub(crate) async fn measure(stack: &Stack, lasting: Duration) -> Vec<Load> {
    let most = SENDERS.into_iter().max().unwrap_or_default();
    let mut pairs = Vec::new();
    for n in 0..most {
        pairs.push(pair(stack, n).await);
    }
    // Starts every process that there will be, and warms it up.
    pairs = run("warming up", pairs, most, None, Duration::from_secs(2)).await.0;
    let mut loads = Vec::new();
    let closed = SENDERS.map(|senders| (format!("{senders} sending"), senders, None));
    let open =
        (format!("{RATE}/s"), RATE_SENDERS as usize, Some(Duration::from_secs(1) * RATE_SENDERS / RATE));
    for (name, senders, every) in closed.into_iter().chain([open]) {
        eprintln!("chat: {name}");
        let (before, written, began) = (Usage::now(stack.pid), stack.log().len(), Instant::now());
        let (returned, sent, received) = run(&name, pairs, senders, every, lasting).await;
        let (took, after) = (began.elapsed(), Usage::now(stack.pid));
        pairs = returned;
        let messages = sent as f64;
        let cpu = |kind| after.cpu_since(&before, kind) * 1e3 / messages;
        let log = stack.log();
        let counted = |name| per_event(&log[written..], "send_message: ok", name);
        loads.push(Load {
            name,
            senders,
            messages_per_second: messages / took.as_secs_f64(),
            lost: sent - received.iter().map(|of| of.seen.len()).sum::<usize>(),
            duplicated: received.iter().map(|of| of.duplicated).sum(),
            out_of_order: received.iter().map(|of| of.out_of_order).sum(),
            receipt: Times::of(received.into_iter().flat_map(|of| of.times).collect()),
            cpu_functions: cpu(Kind::Function),
            cpu_gateway: cpu(Kind::Gateway),
            cpu_postgres: cpu(Kind::Postgres),
            resident_function: after.largest(Kind::Function),
            resident_functions: after.resident(Kind::Function),
            resident_gateway: after.resident(Kind::Gateway),
            resident_postgres: after.resident(Kind::Postgres),
            postgres_calls: counted("postgres_calls"),
            dynamodb_calls: counted("dynamodb_calls"),
            pushes: counted("pushes"),
            event_ms: counted("duration_ms"),
            postgres_ms: counted("postgres_ms"),
            dynamodb_ms: counted("dynamodb_ms"),
            pushes_ms: counted("pushes_ms"),
            idle_ms: counted("idle_ms"),
        });
    }
    loads
}

async fn pair(stack: &Stack, n: usize) -> Pair {
    let (alice, bob) = (format!("sender-{n}"), format!("receiver-{n}"));
    let (sender, mut receiver) = tokio::join!(connect(stack, &alice), connect(stack, &bob));
    let conversation = conversation(stack, &alice, &bob).await;
    join(&mut receiver, &conversation).await;
    Pair { sender, receiver, conversation }
}

/// Lets the first `senders` pairs chat. Returns the pairs, the number of messages sent, and what was
/// received.
async fn run(
    load: &str,
    mut pairs: Vec<Pair>,
    senders: usize,
    every: Option<Duration>,
    lasting: Duration,
) -> (Vec<Pair>, usize, Vec<Received>) {
    let idle = pairs.split_off(senders);
    let epoch = Instant::now();
    let chatting =
        pairs.into_iter().enumerate().map(|(n, Pair { mut sender, mut receiver, conversation })| {
            // Pairs take turns.
            let every = every.map(|every| {
                (every, epoch + every * u32::try_from(n).unwrap() / u32::try_from(senders).unwrap())
            });
            let (done, last) = oneshot::channel();
            let (to, sends, receives) = (conversation.clone(), load.to_owned(), load.to_owned());
            let sending = tokio::spawn(async move {
                let sent = send(&sends, &mut sender, &to, epoch, every, lasting).await;
                let _ = done.send(sent);
                (sender, sent)
            });
            let receiving = tokio::spawn(async move {
                let received = receive(&receives, &mut receiver, epoch, last).await;
                (receiver, received)
            });
            async move {
                let ((sender, sent), (receiver, received)) =
                    (sending.await.unwrap(), receiving.await.unwrap());
                (Pair { sender, receiver, conversation }, sent, received)
            }
        });
    let mut pairs = Vec::new();
    let (mut sent, mut received) = (0, Vec::new());
    for (pair, of, by) in join_all(chatting).await {
        pairs.push(pair);
        sent += usize::try_from(of).unwrap();
        received.push(by);
    }
    pairs.extend(idle);
    (pairs, sent, received)
}

/// Sends one message after another, with a rhythm if there is one. Returns the number of messages.
async fn send(
    load: &str,
    socket: &mut Socket,
    conversation: &str,
    epoch: Instant,
    every: Option<(Duration, Instant)>,
    lasting: Duration,
) -> u64 {
    let mut ticks = every.map(|(every, first)| interval_at(first.into(), every));
    let mut sent = 0;
    loop {
        // A late message counts from when it was due: the wait for the one before it is part of its latency.
        let due = match &mut ticks {
            Some(ticks) => ticks.tick().await.into_std(),
            None => Instant::now(),
        };
        let since = due.saturating_duration_since(epoch);
        if since >= lasting {
            return sent;
        }
        let content = format!("{sent} {} {load}", since.as_nanos());
        stack::send(socket, conversation, &content).await;
        sent += 1;
    }
}

/// Receives until all messages have arrived.
async fn receive(
    load: &str,
    socket: &mut Socket,
    epoch: Instant,
    mut last: oneshot::Receiver<u64>,
) -> Received {
    let mut received = Received::default();
    let mut expected = None;
    let mut highest = None;
    while expected.is_none_or(|all| (received.seen.len() as u64) < all) {
        let frame = tokio::select! {
            all = &mut last, if expected.is_none() => {
                expected = all.ok();
                continue;
            }
            frame = timeout(PATIENCE, socket.receives_json()) => match frame {
                Ok(frame) => frame,
                Err(_) if expected.is_some() => break,
                Err(_) => continue,
            },
        };
        let now = epoch.elapsed();
        if frame["type"] != "new_message" {
            continue;
        }
        let content = frame["data"]["content"].as_str().unwrap();
        let (n, rest) = content.split_once(' ').unwrap();
        let (sent, of) = rest.split_once(' ').unwrap();
        // A message that the load before gave up may still arrive.
        if of != load {
            continue;
        }
        let n = n.parse::<u64>().unwrap();
        if !received.seen.insert(n) {
            received.duplicated += 1;
            continue;
        }
        received.out_of_order += usize::from(highest.is_some_and(|highest| n < highest));
        highest = highest.max(Some(n));
        received.times.push(now.saturating_sub(Duration::from_nanos(sent.parse().unwrap())));
    }
    received
}

/// The mean of a number in all records of the log with this message.
fn per_event(log: &str, message: &str, name: &str) -> f64 {
    let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let records = entries.filter(|entry| entry["record"]["message"] == message);
    let numbers: Vec<f64> = records.filter_map(|entry| entry["record"][name].as_f64()).collect();
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

//! Switchboard beside its yardsticks: Postgres alone, and the origin design.
//!
//! All are measured in turn, in several rounds, because the speed of a machine changes. Only ratios within
//! one round count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Socket, Stack};
use serde::Serialize;

use crate::floor;
use crate::measure::{Kind, Times, Usage};
use crate::origin::{self, Origin};
use crate::rest::{self, World};
use crate::stack::{connect, conversation, join, send};

const SENDERS: [usize; 2] = [1, 32];

/// The clients of the HTTP API.
const CLIENTS: usize = 16;

/// One figure of one round, of Switchboard and of its yardstick.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) yardstick: &'static str,
    pub(crate) switchboard: f64,
    pub(crate) of_yardstick: f64,
}

impl Figure {
    pub(crate) fn ratio(&self) -> f64 {
        self.switchboard / self.of_yardstick
    }
}

/// Two connected users of Switchboard, or of the origin.
struct Pair {
    is_origin: bool,
    sender: Socket,
    receiver: Socket,
    conversation: String,
}

/// The measurements of a load.
struct Chat {
    per_second: f64,
    receipt: Times,
    /// Milliseconds of processor time for each message.
    cpu_functions: f64,
    cpu_gateway: f64,
    cpu_postgres: f64,
}

/// Measures all figures, once in each round. Without Node the origin is left out.
pub(crate) async fn measure(
    stack: &Arc<Stack>,
    world: &Arc<World>,
    lasting: Duration,
    rounds: u32,
) -> Vec<Figure> {
    let origin = Origin::start(stack).await;
    if origin.is_none() {
        eprintln!("compare: without the origin design, since there is no Node 20, or npm cannot install it");
    }
    let their_world = match &origin {
        Some(origin) => Some(Arc::new(origin.world(stack).await)),
        None => None,
    };
    let mut all = Vec::new();
    // The first round only warms up.
    for round in 0..=rounds {
        eprintln!("compare: round {round} of {rounds}");
        let mut figures = Vec::new();
        for senders in SENDERS {
            let floor = floor::run(stack, &format!("round-{round}"), senders, lasting / 2).await;
            // In turn, so that neither is always the second.
            let own = async || load(stack, None, senders, lasting).await;
            let other = async || match &origin {
                Some(origin) => Some(load(stack, Some(origin), senders, lasting).await),
                None => None,
            };
            let (chat, theirs) = if round % 2 == 0 {
                let chat = own().await;
                (chat, other().await)
            } else {
                let theirs = other().await;
                (own().await, theirs)
            };
            let named = |what: &str| format!("{what}, {senders} senders");
            let mut add = |what: &str, unit, yardstick, switchboard, of_yardstick| {
                figures.push(Figure { what: named(what), unit, yardstick, switchboard, of_yardstick });
            };
            add("Postgres's processor time a message", "ms", "Postgres alone", chat.cpu_postgres, floor.cpu);
            add("functions' processor time a message", "ms", "Postgres alone", chat.cpu_functions, floor.cpu);
            add(
                "gateway's and DynamoDB's processor time a message",
                "ms",
                "Postgres alone",
                chat.cpu_gateway,
                floor.cpu,
            );
            if let Some(theirs) = theirs {
                add("messages a second", "", "origin", chat.per_second, theirs.per_second);
                add("send to receipt, median", "ms", "origin", chat.receipt.p50, theirs.receipt.p50);
                let cpu = |of: &Chat| of.cpu_functions + of.cpu_gateway + of.cpu_postgres;
                add("processor time of all a message", "ms", "origin", cpu(&chat), cpu(&theirs));
            }
        }
        if let (Some(origin), Some(theirs)) = (&origin, &their_world) {
            // As autovacuum does sooner or later: it decides how Postgres plans both.
            for url in [stack.postgres_url(), origin.database_url()] {
                harness::connect(url).await.batch_execute("vacuum analyze").await.unwrap();
            }
            for (request, name) in rest::Request::ALL {
                let rate = async |world: &Arc<World>| {
                    let (times, failed) = rest::run(world, request, CLIENTS, lasting / 2).await;
                    assert_eq!(failed, 0, "{name}: requests failed");
                    times.len() as f64 / (lasting / 2).as_secs_f64()
                };
                figures.push(Figure {
                    what: format!("{name}, {CLIENTS} clients, a second"),
                    unit: "",
                    yardstick: "origin",
                    switchboard: rate(world).await,
                    of_yardstick: rate(theirs).await,
                });
            }
        }
        if round > 0 {
            all.extend(figures);
        }
    }
    all
}

/// Connects so many pairs. Each load has its own connections: nobody answers pings on idle ones.
async fn pairs(stack: &Stack, origin: Option<&Origin>, count: usize) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for n in 0..count {
        let (from, to) = (format!("compared-{n}-a"), format!("compared-{n}-b"));
        pairs.push(match origin {
            None => {
                let (sender, mut receiver) = tokio::join!(connect(stack, &from), connect(stack, &to));
                let conversation = conversation(stack, &from, &to).await;
                join(&mut receiver, &conversation).await;
                Pair { is_origin: false, sender, receiver, conversation }
            }
            Some(origin) => {
                let (sender, receiver) =
                    tokio::join!(origin.connect(stack, &from), origin.connect(stack, &to));
                let mut pair = Pair { is_origin: true, sender, receiver, conversation: String::new() };
                // The users are stored when their connections answer.
                for socket in [&mut pair.sender, &mut pair.receiver] {
                    origin::is_known(socket).await;
                }
                pair.conversation = origin.conversation(stack, &from, &to).await;
                origin::join(&mut pair.receiver, &pair.conversation).await;
                pair
            }
        });
    }
    pairs
}

/// Lets so many pairs chat: each sends when its message before was acknowledged and received.
async fn load(stack: &Stack, origin: Option<&Origin>, senders: usize, lasting: Duration) -> Chat {
    let pairs = pairs(stack, origin, senders).await;
    let usage = || (Usage::now(stack.pid), origin.map(Origin::usage));
    let (before, began) = (usage(), Instant::now());
    let chatting = pairs.into_iter().map(|mut pair| {
        tokio::spawn(async move {
            let mut times = Vec::new();
            while began.elapsed() < lasting {
                let sent = Instant::now();
                let content = format!("{} of so many words as people write in a chat", times.len());
                let (_, received) = match pair.is_origin {
                    true => tokio::join!(
                        origin::send(&mut pair.sender, &pair.conversation, &content),
                        origin::next_message(&mut pair.receiver),
                    ),
                    false => tokio::join!(
                        send(&mut pair.sender, &pair.conversation, &content),
                        next_message(&mut pair.receiver),
                    ),
                };
                assert_eq!(received.0, content, "messages are lost, doubled or out of order");
                times.push(received.1 - sent);
            }
            (pair, times)
        })
    });
    // The connections stay open until the usage is taken.
    let done: Vec<_> = join_all(chatting).await.into_iter().map(Result::unwrap).collect();
    let (took, after) = (began.elapsed(), usage());
    let times: Vec<_> = done.iter().flat_map(|(_, times)| times).copied().collect();
    let messages = times.len() as f64;
    let cpu = |kind| after.0.cpu_since(&before.0, kind) * 1e3 / messages;
    let of_origin = match (&before.1, &after.1) {
        (Some(before), Some(after)) => Some(after.cpu_since(before, Kind::Gateway) * 1e3 / messages),
        _ => None,
    };
    Chat {
        per_second: messages / took.as_secs_f64(),
        receipt: Times::of(times),
        cpu_functions: of_origin.unwrap_or_else(|| cpu(Kind::Function)),
        cpu_gateway: if of_origin.is_some() { 0.0 } else { cpu(Kind::Gateway) },
        cpu_postgres: cpu(Kind::Postgres),
    }
}

/// The content of the next pushed message, and when it came.
async fn next_message(socket: &mut Socket) -> (String, Instant) {
    loop {
        let frame = socket.receives_json().await;
        if frame["type"] == "new_message" {
            return (frame["data"]["content"].as_str().unwrap().to_owned(), Instant::now());
        }
    }
}

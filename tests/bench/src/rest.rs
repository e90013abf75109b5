//! The HTTP API under load: 200 users, 1,000 conversations, 100,000 messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Stack, connect};
use reqwest::{Client, RequestBuilder};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::measure::Times;
use crate::stack::token;

pub(crate) const USERS: usize = 200;
const CLIENTS: [usize; 2] = [1, 16];

/// The measurements of one request, by the number of clients.
#[derive(Debug, Serialize)]
pub(crate) struct Requests {
    pub(crate) request: &'static str,
    pub(crate) clients: usize,
    pub(crate) per_second: f64,
    pub(crate) times: Times,
    pub(crate) failed: usize,
}

/// The data that the requests are about.
pub(crate) struct World {
    http: Client,
    stack_url: String,
    tokens: Vec<String>,
    conversations: Vec<Conversation>,
}

/// The numbers of its two users, and a message in the middle.
struct Conversation {
    id: Uuid,
    users: (usize, usize),
    middle: Uuid,
}

/// A kind of request.
#[derive(Clone, Copy)]
pub(crate) enum Request {
    List,
    History,
    Before,
    Find,
}

impl Request {
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::List, "list"),
        (Self::History, "history"),
        (Self::Before, "history, before"),
        (Self::Find, "find-or-create"),
    ];

    /// The `n`th request: each is about another conversation, by one of its users.
    fn of(self, world: &World, n: usize) -> RequestBuilder {
        let Conversation { id, users: (one, other), middle } =
            &world.conversations[n * 7 % world.conversations.len()];
        let messages = format!("/api/conversations/{id}/messages");
        let at = |path: &str| format!("{}{path}", world.stack_url);
        let request = match self {
            Self::List => world.http.get(at("/api/conversations")),
            Self::History => world.http.get(at(&messages)),
            Self::Before => world.http.get(at(&format!("{messages}?before={middle}"))),
            Self::Find => {
                let body = json!({ "otherUserId": user(*other) });
                world.http.post(at("/api/conversations/find-or-create")).json(&body)
            }
        };
        request.bearer_auth(&world.tokens[*one])
    }
}

pub(crate) async fn measure(world: &Arc<World>, lasting: Duration) -> Vec<Requests> {
    let mut all = Vec::new();
    for (request, name) in Request::ALL {
        // Starts the processes, and fills the caches.
        run(world, request, 16, Duration::from_millis(500)).await;
        for clients in CLIENTS {
            eprintln!("REST: {name}, {clients} clients");
            let (times, failed) = run(world, request, clients, lasting).await;
            let per_second = times.len() as f64 / lasting.as_secs_f64();
            all.push(Requests { request: name, clients, per_second, times: Times::of(times), failed });
        }
    }
    all
}

/// Lets so many clients ask one after the other. Returns the times, and how many requests failed.
pub(crate) async fn run(
    world: &Arc<World>,
    request: Request,
    clients: usize,
    lasting: Duration,
) -> (Vec<Duration>, usize) {
    let until = Instant::now() + lasting;
    let turn = Arc::new(AtomicUsize::new(0));
    let asking = (0..clients).map(|_| {
        let (world, turn) = (world.clone(), turn.clone());
        tokio::spawn(async move {
            let (mut times, mut failed) = (Vec::new(), 0);
            while Instant::now() < until {
                let request = request.of(&world, turn.fetch_add(1, Ordering::Relaxed));
                let asked = Instant::now();
                let answer = request.send().await.unwrap();
                let ok = answer.status().is_success();
                answer.bytes().await.unwrap();
                match ok {
                    true => times.push(asked.elapsed()),
                    false => failed += 1,
                }
            }
            (times, failed)
        })
    });
    let results: Vec<_> = join_all(asking).await.into_iter().map(Result::unwrap).collect();
    let failed = results.iter().map(|(_, failed)| failed).sum();
    (results.into_iter().flat_map(|(times, _)| times).collect(), failed)
}

pub(crate) async fn world(stack: &Stack) -> World {
    let postgres = connect(stack.postgres_url()).await;
    // Each user has a conversation with the next five: a thousand conversations of a hundred messages.
    postgres
        .batch_execute(
            "insert into users (id, name, display_name)
               select 'rest-' || to_char(n, 'FM000'), 'Rest ' || n, 'Rest' from generate_series(0, 199) n;
             insert into conversations (id, first_user_id, second_user_id, last_seq, last_message_at)
               select gen_random_uuid(), least(one.id, other.id), greatest(one.id, other.id), 100,
                 clock_timestamp()
               from generate_series(0, 199) n, generate_series(1, 5) step
               join lateral (select 'rest-' || to_char(n, 'FM000') as id) one on true
               join lateral (select 'rest-' || to_char((n + step) % 200, 'FM000') as id) other on true;
             insert into participants (conversation_id, user_id, read_up_to, sent, sent_read)
               select id, first_user_id, 100, 50, 50 from conversations where first_user_id like 'rest-%'
               union all
               select id, second_user_id, 100, 50, 50 from conversations where first_user_id like 'rest-%';
             insert into read_marks (conversation_id, user_id, up_to_seq, read_at)
               select conversation_id, user_id, 100, clock_timestamp()
               from participants where user_id like 'rest-%';
             insert into messages (id, conversation_id, seq, sender_id, content, created_at)
               select gen_random_uuid(), id, seq, case seq % 2 when 0 then first_user_id else second_user_id
                 end,
                      'message ' || seq || ' of a hundred, as long as people write them in a chat',
                      clock_timestamp()
               from conversations, generate_series(1, 100) seq where first_user_id like 'rest-%';
             analyze;",
        )
        .await
        .unwrap();
    let rows = postgres
        .query(
            "select c.id, c.first_user_id, c.second_user_id, m.id as middle from conversations c
             join messages m on m.conversation_id = c.id and m.seq = 51 where c.first_user_id like 'rest-%'",
            &[],
        )
        .await
        .unwrap();
    World::new(stack.http(""), (0..USERS).map(|n| token(stack, &user(n))).collect(), &rows)
}

impl World {
    /// Rows have the id of a conversation, its users, and a message in the middle.
    pub(crate) fn new(url: String, tokens: Vec<String>, rows: &[tokio_postgres::Row]) -> Self {
        let number = |id: &str| id.rsplit('-').next().unwrap().parse().unwrap();
        let conversation = |row: &tokio_postgres::Row| Conversation {
            id: row.get("id"),
            users: (number(row.get("first_user_id")), number(row.get("second_user_id"))),
            middle: row.get("middle"),
        };
        Self {
            http: Client::new(),
            stack_url: url,
            tokens,
            conversations: rows.iter().map(conversation).collect(),
        }
    }
}

pub(crate) fn user(n: usize) -> String {
    format!("rest-{n:03}")
}

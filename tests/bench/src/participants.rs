//! What a conversation costs Postgres, by its size: large ones beside small ones, in turn.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Socket, Stack, connect as connect_to_postgres};
use serde_json::{Value, json};
use tokio_postgres::Client as Postgres;

use crate::compare::Figure;
use crate::measure::{Kind, Times, Usage};
use crate::stack::{ask, connect, conversation, join, send, token};

/// The number of requests of each kind in a round.
const SENDS: usize = 200;
const MARKS: usize = 40;
const PAGES: usize = 40;

/// How many have joined the group.
const JOINED: usize = 10;

/// What requests cost, each.
#[derive(Default)]
struct Cost {
    /// Milliseconds.
    time: f64,
    /// Milliseconds of Postgres's processor time.
    cpu: f64,
    /// Bytes of the write-ahead log.
    wal: f64,
}

pub(crate) async fn measure(stack: &Stack, rounds: u32) -> Vec<Figure> {
    let postgres = connect_to_postgres(stack.postgres_url()).await;
    let mut pair = Chat::of_two(stack).await;
    let mut group = Chat::of_a_thousand(stack, &postgres).await;
    let lists = [("lists-few", 50), ("lists-many", 10_000)];
    for (user, conversations) in lists {
        list(&postgres, user, conversations).await;
    }
    postgres.batch_execute("vacuum analyze").await.unwrap();
    let mut all = Vec::new();
    // The first round only warms up.
    for round in 0..=rounds {
        eprintln!("participants: round {round} of {rounds}");
        let (small, large) = (pair.sends(stack, &postgres).await, group.sends(stack, &postgres).await);
        let (one, thousand) =
            (pair.marks(stack, &postgres, 1).await, pair.marks(stack, &postgres, 1000).await);
        let (short, long) = (pages(stack, lists[0].0).await, pages(stack, lists[1].0).await);
        if round == 0 {
            continue;
        }
        let mut add = |what: &str, unit, yardstick, switchboard, of_yardstick| {
            all.push(Figure { what: what.to_owned(), unit, yardstick, switchboard, of_yardstick });
        };
        add("Postgres's processor time of a message among 1,000", "ms", "among 2", large.cpu, small.cpu);
        add("write-ahead log of a message among 1,000", "bytes", "among 2", large.wal, small.wal);
        add("marking 1,000 messages as read", "ms", "marking 1", thousand.time, one.time);
        add("Postgres's processor time of it", "ms", "marking 1", thousand.cpu, one.cpu);
        add("a page of 50 of 10,000 conversations", "ms", "of 50", long.time, short.time);
        add("Postgres's processor time of a page", "ms", "of 50", long.cpu, short.cpu);
    }
    all
}

/// A conversation whose participants are connected.
struct Chat {
    sender: Socket,
    receivers: Vec<Socket>,
    conversation: String,
}

impl Chat {
    async fn of_two(stack: &Stack) -> Self {
        let (sender, mut receiver) = tokio::join!(connect(stack, "few-a"), connect(stack, "few-b"));
        let conversation = conversation(stack, "few-a", "few-b").await;
        join(&mut receiver, &conversation).await;
        Self { sender, receivers: vec![receiver], conversation }
    }

    async fn of_a_thousand(stack: &Stack, postgres: &Postgres) -> Self {
        let sender = connect(stack, "many-0").await;
        let names = (1..=JOINED).map(|n| format!("many-{n}")).collect::<Vec<_>>();
        let mut receivers = join_all(names.iter().map(|name| connect(stack, name))).await;
        let body = json!({ "title": "Everybody", "participantIds": names });
        let request = reqwest::Client::new().post(stack.http("/api/conversations"));
        let answer = request.bearer_auth(token(stack, "many-0")).json(&body).send().await.unwrap();
        let made: Value = answer.json().await.unwrap();
        let conversation = made["id"].as_str().unwrap().to_owned();
        let rest = 1000 - 1 - JOINED;
        postgres
            .batch_execute(&format!(
                "with people as (
                     insert into users (id)
                     select 'many-more-' || n from generate_series(1, {rest}) n returning id
                 ), added as (
                     insert into participants (conversation_id, user_id)
                     select '{conversation}', id from people
                 )
                 update conversations set participant_count = 1000 where id = '{conversation}'"
            ))
            .await
            .unwrap();
        for receiver in &mut receivers {
            join(receiver, &conversation).await;
        }
        Self { sender, receivers, conversation }
    }

    async fn sends(&mut self, stack: &Stack, postgres: &Postgres) -> Cost {
        let (before, logged, began) = (Usage::now(stack.pid), log(postgres).await, Instant::now());
        for n in 0..SENDS {
            send(&mut self.sender, &self.conversation, &format!("{n} of so many words as people write"))
                .await;
            for receiver in &mut self.receivers {
                while receiver.receives_json().await["type"] != "new_message" {}
            }
        }
        let each = |sum: f64| sum / SENDS as f64;
        Cost {
            time: each(began.elapsed().as_secs_f64() * 1e3),
            cpu: each(Usage::now(stack.pid).cpu_since(&before, Kind::Postgres) * 1e3),
            wal: each(log(postgres).await - logged),
        }
    }

    /// Lets the receiver mark as read what was stored meanwhile, so many messages each time.
    async fn marks(&mut self, stack: &Stack, postgres: &Postgres, messages: usize) -> Cost {
        let mark = json!({ "action": "mark_read", "conversationId": self.conversation });
        ask(&mut self.receivers[0], mark.clone()).await;
        let (mut times, mut cpu) = (Vec::new(), 0.0);
        for _ in 0..MARKS {
            postgres
                .batch_execute(&format!(
                    "with taken as (
                         update conversations set last_seq = last_seq + {messages}
                         where id = '{id}' returning id, last_seq
                     ), counted as (
                         update participants set sent = sent + {messages}
                         where conversation_id = '{id}' and user_id = 'few-a'
                     )
                     insert into messages (id, conversation_id, seq, sender_id, content, created_at)
                     select gen_random_uuid(), id, last_seq - n, 'few-a', 'unread', clock_timestamp()
                     from taken, generate_series(0, {messages} - 1) n",
                    id = self.conversation
                ))
                .await
                .unwrap();
            let (before, asked) = (Usage::now(stack.pid), Instant::now());
            let answer = ask(&mut self.receivers[0], mark.clone()).await;
            times.push(asked.elapsed());
            cpu += Usage::now(stack.pid).cpu_since(&before, Kind::Postgres);
            assert_eq!(answer["type"], "messages_read", "{answer}");
        }
        Cost { time: Times::of(times).p50, cpu: cpu * 1e3 / MARKS as f64, ..Cost::default() }
    }
}

/// The position in the write-ahead log, in bytes.
async fn log(postgres: &Postgres) -> f64 {
    let position = "select (pg_current_wal_insert_lsn() - '0/0')::float8";
    postgres.query_one(position, &[]).await.unwrap().get(0)
}

/// Stores a user with so many conversations, each with one unread message. Up to 500 were active today.
pub(crate) async fn list(postgres: &Postgres, user: &str, conversations: usize) {
    postgres
        .batch_execute(&format!(
            "insert into users (id) values ('{user}');
             insert into users (id) select 'with-{user}-' || n from generate_series(1, {conversations}) n;
             insert into conversations (id, first_user_id, second_user_id, last_seq, last_message_at)
               select gen_random_uuid(), '{user}', 'with-{user}-' || n, 1,
                 clock_timestamp() - interval '1 day' * ((n - 1) / 500)
               from generate_series(1, {conversations}) n;
             insert into messages (id, conversation_id, seq, sender_id, content, created_at)
               select gen_random_uuid(), id, 1, second_user_id, 'hello', last_message_at
               from conversations where first_user_id = '{user}';
             insert into participants (conversation_id, user_id, active_on, sent)
               select id, member, (last_message_at at time zone 'UTC')::date,
                 case member when '{user}' then 0 else 1 end
               from conversations, lateral (values (first_user_id), (second_user_id)) pair (member)
               where first_user_id = '{user}'"
        ))
        .await
        .unwrap();
}

/// Asks for the first page of a user's list.
async fn pages(stack: &Stack, user: &str) -> Cost {
    let (http, token) = (reqwest::Client::new(), token(stack, user));
    let mut times: Vec<Duration> = Vec::new();
    let before = Usage::now(stack.pid);
    for _ in 0..PAGES {
        let asked = Instant::now();
        let answer = http.get(stack.http("/api/conversations")).bearer_auth(&token).send().await.unwrap();
        let page: Value = answer.error_for_status().unwrap().json().await.unwrap();
        times.push(asked.elapsed());
        assert_eq!(page["conversations"].as_array().unwrap().len(), 50);
    }
    let cpu = Usage::now(stack.pid).cpu_since(&before, Kind::Postgres) * 1e3 / PAGES as f64;
    Cost { time: Times::of(times).p50, cpu, ..Cost::default() }
}

//! The limit of the machine: clients that store messages in Postgres directly.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Stack, connect};
use serde::Serialize;
use uuid::Uuid;

use crate::measure::Times;

const CLIENTS: [usize; 2] = [1, 32];

/// The least that a send has to do: take a number, store the message, count it as unread.
const SEND: &str = "
with taken as (
    update conversations set last_seq = last_seq + 1, last_message_at = clock_timestamp() where id = $1
    returning id, last_seq
), inserted as (
    insert into messages (id, conversation_id, seq, sender_id, content, created_at)
    select $2, id, last_seq, $3, $4, clock_timestamp() from taken
)
update participants set unread_count = unread_count + 1 where conversation_id = $1 and user_id <> $3";

/// What so many clients have stored, each in its own conversation.
#[derive(Debug, Serialize)]
pub(crate) struct Floor {
    pub(crate) clients: usize,
    pub(crate) per_second: f64,
    pub(crate) times: Times,
}

pub(crate) async fn measure(stack: &Stack, lasting: Duration) -> Vec<Floor> {
    let mut all = Vec::new();
    for clients in CLIENTS {
        eprintln!("floor: {clients} clients");
        let until = Instant::now() + lasting;
        let sending = (0..clients).map(|n| send(stack, format!("floor-{clients}-{n}"), until));
        let times: Vec<_> = join_all(sending).await.concat();
        let per_second = times.len() as f64 / lasting.as_secs_f64();
        all.push(Floor { clients, per_second, times: Times::of(times) });
    }
    all
}

/// Stores one message after another. Returns their durations.
async fn send(stack: &Stack, user: String, until: Instant) -> Vec<Duration> {
    let postgres = connect(stack.postgres_url()).await;
    let (other, conversation) = (format!("{user}-other"), Uuid::new_v4());
    postgres
        .batch_execute(&format!(
            "insert into users (id) values ('{user}'), ('{other}');
             insert into conversations (id, first_user_id, second_user_id) values ('{conversation}',
               '{user}', '{other}');
             insert into participants (conversation_id, user_id) values ('{conversation}', '{user}'),
               ('{conversation}', '{other}');"
        ))
        .await
        .unwrap();
    let statement = postgres.prepare(SEND).await.unwrap();
    let mut times = Vec::new();
    while Instant::now() < until {
        let asked = Instant::now();
        postgres.execute(&statement, &[&conversation, &Uuid::now_v7(), &user, &"hello"]).await.unwrap();
        times.push(asked.elapsed());
    }
    times
}

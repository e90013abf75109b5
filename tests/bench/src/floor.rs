//! The limit of the machine: clients that store messages in Postgres directly.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Stack, connect};
use serde::Serialize;
use uuid::Uuid;

use crate::measure::{Kind, Times, Usage};

const CLIENTS: [usize; 2] = [1, 32];

/// The least that a send has to do: take a number, store the message, count it.
const SEND: &str = "
with taken as (
    update conversations set last_seq = last_seq + 1, last_message_at = clock_timestamp() where id = $1
    returning id, last_seq
), inserted as (
    insert into messages (id, conversation_id, seq, sender_id, content, created_at)
    select $2, id, last_seq, $3, $4, clock_timestamp() from taken
)
update participants set sent = sent + 1 where conversation_id = $1 and user_id = $3";

/// The measurements of a number of clients, each with a conversation of its own.
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
        let Sent { times, per_second, .. } = run(stack, "floor", clients, lasting).await;
        all.push(Floor { clients, per_second, times: Times::of(times) });
    }
    all
}

/// The messages that clients stored.
pub(crate) struct Sent {
    pub(crate) times: Vec<Duration>,
    pub(crate) per_second: f64,
    /// Milliseconds of Postgres's processor time for each message.
    pub(crate) cpu: f64,
}

/// Lets so many clients store messages, all of them connected before the first begins.
pub(crate) async fn run(stack: &Stack, name: &str, clients: usize, lasting: Duration) -> Sent {
    let connecting = (0..clients).map(|n| Client::connect(stack, format!("{name}-{clients}-{n}")));
    let connected = join_all(connecting).await;
    let (before, until) = (Usage::now(stack.pid), Instant::now() + lasting);
    let times = join_all(connected.iter().map(|client| client.sends(until))).await.concat();
    // While the connections are open, and so their processes.
    let cpu = Usage::now(stack.pid).cpu_since(&before, Kind::Postgres) * 1e3;
    let sent = times.len() as f64;
    Sent { per_second: sent / lasting.as_secs_f64(), cpu: cpu / sent, times }
}

struct Client {
    postgres: tokio_postgres::Client,
    statement: tokio_postgres::Statement,
    user: String,
    conversation: Uuid,
}

impl Client {
    async fn connect(stack: &Stack, user: String) -> Self {
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
        Self { postgres, statement, user, conversation }
    }

    /// Stores one message after another. Returns their durations.
    async fn sends(&self, until: Instant) -> Vec<Duration> {
        let mut times = Vec::new();
        while Instant::now() < until {
            let asked = Instant::now();
            let id = Uuid::now_v7();
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&self.conversation, &id, &self.user, &"hello"];
            self.postgres.execute(&self.statement, &parameters).await.unwrap();
            times.push(asked.elapsed());
        }
        times
    }
}

//! Calls that wait for one row of the database, in an order that a story forces.

use std::time::Duration;

use harness::{PATIENCE, Stack, connect};
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client as Postgres;

use crate::people::{Client, Frame, User};

/// The age of the oldest waiting statement at which the calls are made anew. The store gives a statement up
/// after 1.4 s, or after 2.8 s if it is a transaction of its own.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How often the calls are made anew. Only the first time functions have to start for them.
const TRIES: usize = 20;

/// What is asked of the service.
#[derive(Clone)]
pub(crate) enum Call {
    /// A frame, sent by the phone with this index.
    Frame(usize, Value),
    /// A request of a user to the HTTP API.
    Request(User, Method, String, Option<Value>),
}

/// A call without its answer.
enum Begun {
    Frame(usize, String),
    Request(JoinHandle<Response>),
}

/// The answer to a call.
#[expect(clippy::large_enum_variant, reason = "a story holds only a few of them")]
#[derive(Debug)]
pub(crate) enum Answered {
    Frame(Frame),
    Response(u16, Value),
}

impl Call {
    async fn begin(self, phones: &mut [Client]) -> Begun {
        match self {
            Self::Frame(phone, frame) => Begun::Frame(phone, phones[phone].sends(frame).await),
            Self::Request(user, method, path, body) => {
                Begun::Request(tokio::spawn(async move { user.requests(method, &path, body.as_ref()).await }))
            }
        }
    }
}

impl Begun {
    async fn answer(self, phones: &mut [Client]) -> Answered {
        match self {
            Self::Frame(phone, id) => Answered::Frame(phones[phone].is_answered(&id).await),
            Self::Request(response) => {
                let response = response.await.unwrap();
                Answered::Response(response.status().as_u16(), response.json().await.unwrap_or_default())
            }
        }
    }
}

impl Answered {
    /// The answer to a frame.
    pub(crate) fn frame(&self) -> &Frame {
        match self {
            Self::Frame(frame) => frame,
            Self::Response(..) => panic!("the answer to a request: {self:?}"),
        }
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Response(status, _) => *status,
            Self::Frame(_) => panic!("the answer to a frame: {self:?}"),
        }
    }

    /// The body of a response.
    pub(crate) fn body(&self) -> &Value {
        match self {
            Self::Response(_, body) => body,
            Self::Frame(_) => panic!("the answer to a frame: {self:?}"),
        }
    }
}

/// Locks `row` (a table and a condition), makes each call when those before it wait for the row, and unlocks
/// it when all wait. The database has to belong to this story alone.
///
/// The store does not let a statement wait for long. If a slow machine begins the last calls only when the
/// first ones are given up, nothing has changed, and all of them are made anew.
pub(crate) async fn in_turn<const N: usize>(
    stack: &Stack,
    row: &str,
    phones: &mut [Client],
    calls: [Call; N],
) -> [Answered; N] {
    let watcher = connect(stack.postgres_url()).await;
    for _ in 0..TRIES {
        let holder = connect(stack.postgres_url()).await;
        holder.batch_execute(&format!("begin; select from {row} for update")).await.unwrap();
        let mut begun = Vec::new();
        let mut all_wait = true;
        for call in calls.clone() {
            begun.push(call.begin(phones).await);
            all_wait = are_waiting(&watcher, begun.len()).await;
            if !all_wait {
                break;
            }
        }
        if all_wait {
            holder.batch_execute("commit").await.unwrap();
        }
        let mut answers = Vec::new();
        for call in begun {
            answers.push(call.answer(phones).await);
        }
        if all_wait {
            return answers.try_into().expect("one for each call");
        }
    }
    panic!("{N} calls never waited for {row} at once");
}

/// Waits until `count` statements wait for a lock. Returns false if one of them has waited for too long.
async fn are_waiting(watcher: &Postgres, count: usize) -> bool {
    let waiting = "select count(*),
                       coalesce(extract(epoch from max(clock_timestamp() - query_start)), 0)::float8
                   from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock'";
    let watching = async {
        loop {
            let row = watcher.query_one(waiting, &[]).await.unwrap();
            let (waiting, longest) = (row.get::<_, i64>(0), row.get::<_, f64>(1));
            if longest > LONGEST_WAIT.as_secs_f64() {
                return false;
            }
            if usize::try_from(waiting).unwrap() == count {
                return true;
            }
            // Polled, because a database sends no event when a statement begins to wait.
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, watching).await.unwrap_or_else(|_| panic!("never waited for the row: {count} calls"))
}

//! What all parts of the harness share: the stack, and what stands in for its dependencies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use harness::{Database, Stack, StackOptions, http_client};

use crate::people::User;
use crate::stand_ins::callbacks::Callbacks;
use crate::stand_ins::dynamodb::DynamoDb;
use crate::stand_ins::receiver::Receiver;

/// The number of users.
pub(super) const USERS: usize = 24;

/// Each user has a conversation with the next three, and so with the three before.
pub(super) const NEIGHBOURS: usize = 3;

/// Every third user has a phone and a laptop.
pub(super) const SECOND_DEVICE: usize = 3;

/// Short, so that the lease of a lost `$disconnect` ends during the test.
pub(super) const LEASE: Duration = Duration::from_secs(10);

/// What all parts share.
#[derive(Debug)]
pub(super) struct World {
    /// The stack that runs now.
    stack: RwLock<Arc<Stack>>,
    /// What the functions of the stacks before have logged.
    logged: Mutex<String>,
    /// A stack that only provides Postgres and DynamoDB, which outlive the other stack.
    pub(super) host: Arc<Stack>,
    pub(super) database: Database,
    pub(super) callbacks: Callbacks,
    pub(super) dynamodb: DynamoDb,
    /// A backend that is told of everything.
    pub(super) receiver: Receiver,
    pub(super) http: reqwest::Client,
    /// Whether something may fail.
    pub(super) is_troubled: AtomicBool,
}

impl World {
    pub(super) async fn begins() -> Arc<Self> {
        let (callbacks, dynamodb) = (Callbacks::start().await, DynamoDb::start().await);
        let host = Arc::new(Stack::start(&StackOptions {
            args: &["--ephemeral"],
            // Its functions have no DynamoDB: its sweep would announce to users who are not in its database.
            env: &[("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")],
            ..StackOptions::default()
        }));
        let database = Database::on(host.clone()).await;
        dynamodb.pass_on_to(&host.dynamodb_url);
        let receiver = Receiver::start().await;
        let stack = RwLock::new(starts(&database, &callbacks, &dynamodb, &receiver));
        let (http, is_troubled) = (http_client(), AtomicBool::new(true));
        let logged = Mutex::default();
        Arc::new(Self { stack, logged, host, database, callbacks, dynamodb, receiver, http, is_troubled })
    }

    pub(super) fn is_troubled(&self) -> bool {
        self.is_troubled.load(Ordering::Relaxed)
    }

    pub(super) fn stack(&self) -> Arc<Stack> {
        self.stack.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a stack in the place of one that has ended.
    pub(super) fn starts_again(&self) {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner).push_str(&self.stack().log());
        let stack = starts(&self.database, &self.callbacks, &self.dynamodb, &self.receiver);
        *self.stack.write().unwrap_or_else(PoisonError::into_inner) = stack;
    }

    /// What all functions have logged.
    pub(super) fn log(&self) -> String {
        let before = self.logged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        before + &self.stack().log()
    }

    pub(super) fn user(&self, n: usize) -> User {
        User { id: format!("user-{n:02}"), ..User::of(&self.stack(), &format!("User {n}")) }
    }
}

fn starts(
    database: &Database,
    callbacks: &Callbacks,
    dynamodb: &DynamoDb,
    receiver: &Receiver,
) -> Arc<Stack> {
    let stack = Stack::start(&StackOptions {
        env: &[
            &[
                ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.as_str()),
                ("LEASE_SECONDS", &LEASE.as_secs().to_string()),
                ("PUSH_ENDPOINT", &callbacks.url),
            ],
            &receiver.env()[..],
        ]
        .concat(),
        database_url: Some(&database.url),
        ..StackOptions::default()
    });
    callbacks.pass_on_to(stack.port);
    Arc::new(stack)
}

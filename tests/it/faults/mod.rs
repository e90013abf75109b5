//! Everything goes wrong, one thing after another, and nothing is lost.
//!
//! Users chat while one thing after another fails (`strikes.rs`). Their clients follow the documentation
//! (`device.rs`). At the end what the clients saw is compared with the database, and both with what was
//! promised (`checker.rs`).
//!
//! A seed determines what fails, when, and whom it hits. Which invocation it hits depends on timing, so a
//! seed that failed may pass when it is repeated. Processes are killed, but the machine keeps running: what
//! Postgres has written to the operating system is not lost.

mod checker;
mod device;
mod guests;
mod strikes;

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use harness::{Database, Server, Stack, StackOptions, http_client};

use crate::people::User;
use crate::stand_ins::callbacks::Callbacks;
use crate::stand_ins::dynamodb::DynamoDb;
use crate::stand_ins::receiver::Receiver;
use device::Device;
use guests::{Group, Guest};
use strikes::Strikes;

const USERS: usize = 24;

/// Each user has a conversation with the next three, and so with the three before.
const NEIGHBOURS: usize = 3;

/// Every third user has a phone and a laptop.
const SECOND_DEVICE: usize = 3;

/// Short, so that the lease of a lost `$disconnect` ends during the test.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// What all parts share.
#[derive(Debug)]
pub(crate) struct World {
    /// The stack that runs now.
    stack: RwLock<Arc<Stack>>,
    /// What the functions of the stacks before have logged.
    logged: Mutex<String>,
    /// A stack that only provides Postgres and DynamoDB, which outlive the other stack.
    host: Arc<Stack>,
    database: Database,
    callbacks: Callbacks,
    dynamodb: DynamoDb,
    /// A backend that is told of everything.
    receiver: Receiver,
    http: reqwest::Client,
    /// Whether something may fail.
    is_troubled: AtomicBool,
}

impl World {
    async fn begins() -> Arc<Self> {
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

    fn is_troubled(&self) -> bool {
        self.is_troubled.load(Ordering::Relaxed)
    }

    fn stack(&self) -> Arc<Stack> {
        self.stack.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a stack in the place of one that has ended.
    fn starts_again(&self) {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner).push_str(&self.stack().log());
        let stack = starts(&self.database, &self.callbacks, &self.dynamodb, &self.receiver);
        *self.stack.write().unwrap_or_else(PoisonError::into_inner) = stack;
    }

    /// What all functions have logged.
    fn log(&self) -> String {
        let before = self.logged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        before + &self.stack().log()
    }

    fn user(&self, n: usize) -> User {
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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute of trouble on both processors would disturb the others"]
async fn nothing_is_lost_whatever_fails() {
    let rounds = variable("FAULTS_ROUNDS").map_or(2, |text| text.parse().expect("FAULTS_ROUNDS is a number"));
    let seeds = variable("FAULTS_SEEDS").map_or(1..=1, |text| seeds(&text));
    for seed in seeds {
        // Printed first, since a panic does not tell it.
        println!(
            "FAULTS_SEEDS={seed} FAULTS_ROUNDS={rounds} cargo test --test it -- --ignored --nocapture faults"
        );
        let wrong = run(seed, rounds).await;
        assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
    }
}

/// Runs a seed, prints what happened, and returns what is wrong.
async fn run(seed: u64, rounds: usize) -> Vec<String> {
    let world = World::begins().await;
    let mut server = Server::of(&world.host);
    let groups = Group::all(&world).await;
    let mut devices = Device::all(&world, &groups, seed).await;
    let guests = groups.iter().map(|group| Guest::of(&world, group, seed));
    let visiting = join_all(guests.map(|guest| tokio::spawn(guest.visits())));
    println!("seed {seed}: {USERS} users on {} devices, every fault {rounds} times", devices.len());

    let mut strikes = Strikes::new(&world, seed);
    let chatting = join_all(devices.into_iter().map(|device| tokio::spawn(device.chats())));
    let striking = async {
        strikes.strike(&mut server, rounds).await;
        world.is_troubled.store(false, Ordering::Relaxed);
    };
    let ((), chatted, visited, mut wrong) =
        tokio::join!(striking, chatting, visiting, checker::connections_while_troubled(&world));
    println!("{strikes}");
    wrong.extend(strikes.wrong());

    // After the trouble: all devices first send what they have not sent, then fetch what they miss.
    devices = chatted.into_iter().map(Result::unwrap).collect();
    join_all(devices.iter_mut().map(Device::settles)).await;
    join_all(devices.iter_mut().map(Device::catches_up)).await;
    wrong.extend(checker::messages(&world, &devices).await);
    wrong.extend(checker::events(&world).await);
    for guest in visited {
        wrong.extend(guest.unwrap().checks().await);
    }
    if !wrong.is_empty() {
        // A lost message matters more than anything below.
        return wrong;
    }
    wrong.extend(checker::presence(&world, &mut devices).await);
    wrong.extend(checker::connections_at_the_end(&world).await);
    wrong.extend(devices.into_iter().flat_map(|device| device.wrong));
    wrong
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `7` or `1-20`.
fn seeds(text: &str) -> RangeInclusive<u64> {
    let number = |text: &str| text.trim().parse().expect("FAULTS_SEEDS is a number or two, as in 1-20");
    match text.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => number(text)..=number(text),
    }
}

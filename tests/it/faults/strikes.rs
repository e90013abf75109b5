//! The faults, in a random order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use harness::{Server, Stack, children, connect, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::time::sleep;
use tokio_postgres::NoTls;

use super::world::World;
use crate::stand_ins::callbacks::Fate;
use crate::stand_ins::dynamodb::Mood;
use crate::stand_ins::receiver::Manner;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KilledFunctions,
    StoppedPostgres,
    KilledPostgres,
    KilledBackend,
    ThrottledDynamoDb,
    FailingDynamoDb,
    LostAnswers,
    TroubledCallbacks,
    LostDisconnects,
    TroubledReceiver,
    RestartedGateway,
}

/// Faults that are frequent in practice and disturb little are there more than once.
const DECK: [Fault; 15] = [
    Fault::KilledFunctions,
    Fault::KilledFunctions,
    Fault::KilledFunctions,
    Fault::StoppedPostgres,
    Fault::KilledPostgres,
    Fault::KilledBackend,
    Fault::ThrottledDynamoDb,
    Fault::FailingDynamoDb,
    Fault::LostAnswers,
    Fault::TroubledCallbacks,
    Fault::TroubledCallbacks,
    Fault::LostDisconnects,
    Fault::TroubledReceiver,
    Fault::TroubledReceiver,
    Fault::RestartedGateway,
];

/// What a function waits for when it is killed, and so how far it has got.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// Nothing: it is killed wherever it is.
    Nothing,
    /// The commit: nothing is stored.
    Commit,
    /// The read of the recipients: the message is stored, and nobody is told.
    Recipients,
    /// The pushes: some may have arrived.
    Pushes,
}

const HELD: [Held; 4] = [Held::Nothing, Held::Commit, Held::Recipients, Held::Pushes];

/// The faults, and what they have hit.
#[derive(Debug)]
pub(super) struct Strikes {
    world: Arc<World>,
    /// Decides what fails when.
    rng: StdRng,
    /// Decides whom it hits. Apart, since the number of draws depends on who is there.
    whom: StdRng,
    struck: BTreeMap<Fault, usize>,
    killed_backends: usize,
    /// The numbers of processes that were killed, by function.
    killed_processes: BTreeMap<String, usize>,
    /// The numbers of events that ended with their process, by function.
    killed_events: BTreeMap<String, usize>,
    /// The number of pushes that failed or were delayed.
    troubled_pushes: usize,
    /// The number of events that the backend did not take at once.
    troubled_posts: usize,
    /// Failures of functions that no fault explains.
    mistakes: Vec<String>,
}

impl Strikes {
    pub(super) fn new(world: &Arc<World>, seed: u64) -> Self {
        Self {
            world: world.clone(),
            rng: StdRng::seed_from_u64(seed),
            whom: StdRng::seed_from_u64(!seed),
            struck: BTreeMap::new(),
            killed_backends: 0,
            killed_processes: BTreeMap::new(),
            killed_events: BTreeMap::new(),
            troubled_pushes: 0,
            troubled_posts: 0,
            mistakes: Vec::new(),
        }
    }

    /// Runs all faults so many times, and ends them.
    pub(super) async fn strike(&mut self, server: &mut Server, rounds: usize) {
        for _ in 0..rounds {
            let mut deck = DECK;
            deck.shuffle(&mut self.rng);
            for fault in deck {
                // Users chat in between.
                self.passes(500..1500).await;
                self.strikes_with(fault, server).await;
                *self.struck.entry(fault).or_default() += 1;
            }
        }
        self.looks_back_at(&self.world.stack());
    }

    async fn strikes_with(&mut self, fault: Fault, server: &mut Server) {
        match fault {
            Fault::KilledFunctions => self.kills_functions().await,
            Fault::StoppedPostgres => self.ends_postgres(server, Signal::SIGINT).await,
            Fault::KilledPostgres => self.ends_postgres(server, Signal::SIGKILL).await,
            Fault::KilledBackend => self.kills_a_backend().await,
            Fault::ThrottledDynamoDb => self.dynamodb_is(Mood::Throttling).await,
            Fault::FailingDynamoDb => self.dynamodb_is(Mood::Down).await,
            Fault::LostAnswers => self.dynamodb_is(Mood::Losing).await,
            Fault::TroubledCallbacks => self.troubles_callbacks().await,
            Fault::LostDisconnects => {
                let before = self.world.dynamodb.has_refused_one();
                self.world.dynamodb.refuses(Some("disconnect"));
                self.passes(1000..3000).await;
                let is_lost = async || self.world.dynamodb.has_refused_one() > before;
                eventually("somebody is cut off", is_lost).await;
                self.world.dynamodb.refuses(None);
            }
            Fault::TroubledReceiver => self.troubles_the_receiver().await,
            Fault::RestartedGateway => self.restarts_the_gateway().await,
        }
    }

    /// Faults that have hit nothing, and failures that no fault explains.
    pub(super) fn wrong(&self) -> Vec<String> {
        let hits = [
            ("an event", sum(&self.killed_events)),
            ("a push", self.troubled_pushes),
            ("a backend", self.killed_backends),
            ("a call to DynamoDB", self.world.dynamodb.has_refused()),
            ("an answer of DynamoDB", self.world.dynamodb.has_lost()),
            ("a $disconnect", self.world.dynamodb.has_refused_one()),
        ];
        let missed = hits.into_iter().filter(|(_, hits)| *hits == 0);
        let mut wrong: Vec<_> = missed.map(|(what, _)| format!("{what} was hit by nothing")).collect();
        // A process handles one event at a time, so at most one event ends with each killed process.
        for (function, events) in &self.killed_events {
            let killed = self.killed_processes.get(function).copied().unwrap_or(0);
            if *events > killed {
                wrong.push(format!(
                    "{function}: {events} events ended with their process, and {killed} processes were killed"
                ));
            }
        }
        wrong.extend(self.mistakes.iter().cloned());
        wrong
    }

    /// Collects the outcomes of events from the log of a stack.
    fn looks_back_at(&mut self, stack: &Stack) {
        let reports = stack.records("platform.report");
        for (function, _) in reports.iter().filter(|(_, report)| report["errorType"] == "Runtime.ExitError") {
            *self.killed_events.entry(function.clone()).or_default() += 1;
        }
        let lines = stack.lines();
        let mistakes = lines.iter().filter(|(_, line)| line["outcome"] == "internal");
        self.mistakes.extend(mistakes.map(|(function, line)| format!("{function} failed: {line}")));
    }

    /// Waits for a random time, in milliseconds.
    async fn passes(&mut self, some: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.rng.random_range(some))).await;
    }

    /// Kills all processes of `send_message`, which has most to lose, and of a function chosen at random.
    async fn kills_functions(&mut self) {
        let held = *HELD.choose(&mut self.rng).expect("there are some");
        let (mut locking, mut stalled) = (None, Vec::new());
        match held {
            Held::Nothing => {}
            Held::Commit => {
                let postgres = connect(&self.world.database.url).await;
                postgres.batch_execute("begin; lock table messages in share mode").await.unwrap();
                locking = Some(postgres);
            }
            Held::Recipients => self.world.dynamodb.is(Mood::Stalled),
            Held::Pushes => {
                stalled = self.connections().await;
                stalled.iter().for_each(|id| self.world.callbacks.has(id, Fate::Stalled));
            }
        }
        self.passes(200..600).await;
        let running = children(self.world.stack().pid).into_iter().map(|(_, name)| name);
        let running: Vec<_> = running.filter(|name| name != "local").collect();
        let other = running.choose(&mut self.whom).filter(|name| *name != "send_message");
        for function in other.map(String::as_str).into_iter().chain(["send_message"]) {
            self.kills(function);
        }
        drop(locking);
        self.world.dynamodb.is(Mood::Well);
        self.lets_pass(&stalled);
    }

    /// Kills the processes of a function.
    fn kills(&mut self, function: &str) {
        let killed = self.world.stack().kills(function);
        *self.killed_processes.entry(function.to_owned()).or_default() += killed;
    }

    async fn ends_postgres(&mut self, server: &mut Server, signal: Signal) {
        server.stops(signal).await;
        self.passes(200..1500).await;
        server.starts().await;
    }

    /// Kills one process of Postgres, which then ends all others and recovers.
    async fn kills_a_backend(&mut self) {
        let serving = "select pid from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()
               and backend_type = 'client backend'";
        let url = &self.world.database.url;
        let observer = connect(url).await;
        let rows = observer.query(serving, &[]).await.unwrap();
        let pids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        // It may have ended by itself.
        let is_killed = |pid: &i32| kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok();
        if pids.choose(&mut self.whom).is_some_and(is_killed) {
            self.killed_backends += 1;
            eventually("Postgres ends all", async || observer.is_closed()).await;
        }
        eventually("Postgres has recovered", async || tokio_postgres::connect(url, NoTls).await.is_ok())
            .await;
    }

    async fn dynamodb_is(&mut self, mood: Mood) {
        self.world.dynamodb.is(mood);
        self.passes(500..2000).await;
        self.world.dynamodb.is(Mood::Well);
    }

    /// Makes pushes to half of the connections fail.
    async fn troubles_callbacks(&mut self) {
        const TROUBLES: [Fate; 5] = [Fate::Gone, Fate::Stalled, Fate::Throttled, Fate::Flooded, Fate::Failed];
        let mut troubled = self.connections().await;
        troubled.retain(|_| self.whom.random_bool(0.5));
        for id in &troubled {
            self.world.callbacks.has(id, *TROUBLES.choose(&mut self.whom).expect("there are some"));
        }
        self.passes(1000..3000).await;
        self.troubled_pushes +=
            TROUBLES.iter().map(|fate| self.world.callbacks.pushes_to(*fate)).sum::<usize>();
        self.lets_pass(&troubled);
    }

    /// Makes the backend fail, hang or go away, and kills the processes of `deliver_events` meanwhile.
    async fn troubles_the_receiver(&mut self) {
        const MANNERS: [Manner; 3] = [Manner::Fails, Manner::Hesitates, Manner::IsDown];
        let receiver = &self.world.receiver;
        let before = receiver.posted();
        receiver.is(*MANNERS.choose(&mut self.rng).expect("there are some"));
        self.passes(1000..2500).await;
        self.kills("deliver_events");
        self.passes(200..1000).await;
        self.troubled_posts += self.world.receiver.posted() - before;
        self.world.receiver.goes_on();
    }

    fn lets_pass(&self, connections: &[String]) {
        for id in connections {
            self.world.callbacks.has(id, Fate::Passed);
        }
        self.world.callbacks.release();
    }

    /// The ids of the connections that are open.
    async fn connections(&self) -> Vec<String> {
        let asking = self.world.http.get(self.world.stack().http("/dev/connections")).send();
        let open: Value = asking.await.unwrap().json().await.unwrap();
        let ids = open["connections"].as_array().into_iter().flatten();
        ids.filter_map(|connection| Some(connection["connectionId"].as_str()?.to_owned())).collect()
    }

    async fn restarts_the_gateway(&mut self) {
        let stack = self.world.stack();
        self.looks_back_at(&stack);
        stack.signal(*[Signal::SIGTERM, Signal::SIGKILL].choose(&mut self.rng).expect("there are two"));
        let world = self.world.clone();
        let starting = tokio::task::spawn_blocking(move || {
            stack.wait();
            world.starts_again();
        });
        starting.await.unwrap();
    }
}

fn sum(numbers: &BTreeMap<String, usize>) -> usize {
    numbers.values().sum()
}

impl fmt::Display for Strikes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |fault| self.struck.get(&fault).copied().unwrap_or(0);
        write!(
            f,
            "  struck: functions killed {} times, Postgres stopped {}, killed {}, a backend killed {}, \
             DynamoDB throttling {}, failing {}, losing answers {}, callbacks troubled {} ({} pushes), \
             $disconnect lost {} ({} calls), the receiver of events troubled {} ({} posts), gateway \
             restarted {}; {} processes of functions were killed, in the middle of {} events; DynamoDB \
             refused {} calls and lost {} answers",
            count(Fault::KilledFunctions),
            count(Fault::StoppedPostgres),
            count(Fault::KilledPostgres),
            count(Fault::KilledBackend),
            count(Fault::ThrottledDynamoDb),
            count(Fault::FailingDynamoDb),
            count(Fault::LostAnswers),
            count(Fault::TroubledCallbacks),
            self.troubled_pushes,
            count(Fault::LostDisconnects),
            self.world.dynamodb.has_refused_one(),
            count(Fault::TroubledReceiver),
            self.troubled_posts,
            count(Fault::RestartedGateway),
            sum(&self.killed_processes),
            sum(&self.killed_events),
            self.world.dynamodb.has_refused(),
            self.world.dynamodb.has_lost(),
        )
    }
}

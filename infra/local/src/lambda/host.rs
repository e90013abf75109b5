//! Runs functions as processes, each with one event at a time.
//!
//! An event goes to an idle process of its function, else to a new one, else it waits in line. A process
//! takes its next event when it asks for it, so whoever is free first serves who waits longest.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{InvokeError, instance, runtime_api};
use crate::keeper::Keeper;
use crate::template::{Function, Values};

/// How the host runs functions.
#[derive(Debug)]
pub(crate) struct HostConfig {
    /// The most processes of one function.
    pub(crate) max_instances: usize,
    /// Whether an event that finds all of them busy is refused rather than kept waiting.
    pub(crate) throttle: bool,
    /// Where the binaries are.
    pub(crate) binaries: PathBuf,
    /// Variables that every process gets, besides those of its function.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) values: Values,
}

/// The functions of this machine. Cheap to clone: all clones are one host.
#[derive(Clone, Debug)]
pub(crate) struct Host(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: HostConfig,
    pub(super) runtime_api: SocketAddr,
    pub(super) keeper: Keeper,
    functions: HashMap<String, Arc<FunctionPool>>,
    instances: Mutex<HashMap<Uuid, Arc<Instance>>>,
    /// One for each process; a task that is aborted kills its process.
    tasks: Mutex<JoinSet<()>>,
}

/// A function and its processes.
#[derive(Debug)]
pub(super) struct FunctionPool {
    pub(super) function: Function,
    pub(super) arn: String,
    state: Mutex<PoolState>,
}

#[derive(Debug, Default)]
struct PoolState {
    /// Processes that wait for an event, the warmest at the end.
    idle: Vec<oneshot::Sender<Event>>,
    waiting: VecDeque<Event>,
    instances: usize,
}

/// An invocation on its way to a process.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) request_id: Uuid,
    pub(super) payload: Bytes,
    pub(super) reply: oneshot::Sender<Result<Bytes, InvokeError>>,
}

/// One process, as the Runtime API and its own task see it.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: Uuid,
    pub(super) pool: Arc<FunctionPool>,
    /// What it is working on.
    current: Mutex<Option<Current>>,
    pub(super) phase: watch::Sender<Phase>,
}

#[derive(Debug)]
struct Current {
    request_id: Uuid,
    reply: oneshot::Sender<Result<Bytes, InvokeError>>,
}

/// What a process is doing, and since when; its task keeps the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Idle,
    Busy { until: tokio::time::Instant },
}

impl Host {
    /// Opens the Runtime API for the processes to come.
    pub(crate) async fn start(
        functions: Vec<Function>,
        config: HostConfig,
        keeper: Keeper,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let values = config.values.clone();
        let functions = functions.into_iter().map(|function| {
            let arn = values.function_arn(&function.name);
            (function.name.clone(), Arc::new(FunctionPool { function, arn, state: Mutex::default() }))
        });
        let host = Self(Arc::new(Inner {
            config,
            runtime_api: listener.local_addr()?,
            keeper,
            functions: functions.collect(),
            instances: Mutex::default(),
            tasks: Mutex::default(),
        }));
        tokio::spawn(runtime_api::serve(listener, host.clone()));
        Ok(host)
    }

    pub(super) fn has(&self, function: &str) -> bool {
        self.0.functions.contains_key(function)
    }

    pub(super) fn arn(&self, function: &str) -> String {
        self.0.config.values.function_arn(function)
    }

    pub(super) async fn invoke(&self, function: &str, payload: Bytes) -> Result<Bytes, InvokeError> {
        let pool = self.0.functions.get(function).ok_or(InvokeError::NotFound)?;
        let (reply, result) = oneshot::channel();
        let request_id = Uuid::new_v4();
        self.dispatch(pool, Event { request_id, payload, reply })?;
        // The sender is dropped only if a process died between taking the event and starting on it.
        result.await.unwrap_or_else(|_| Err(instance::exit_error(request_id, None)))
    }

    fn dispatch(&self, pool: &Arc<FunctionPool>, mut event: Event) -> Result<(), InvokeError> {
        let mut state = pool.lock();
        while let Some(idle) = state.idle.pop() {
            match idle.send(event) {
                Ok(()) => return Ok(()),
                // It is gone; its task will notice.
                Err(returned) => event = returned,
            }
        }
        let full = state.instances >= self.0.config.max_instances;
        if full && self.0.config.throttle {
            return Err(InvokeError::Throttled);
        }
        state.waiting.push_back(event);
        if !full {
            state.instances += 1;
            self.spawn(pool.clone());
        }
        Ok(())
    }

    fn spawn(&self, pool: Arc<FunctionPool>) {
        let instance = Arc::new(Instance {
            id: Uuid::new_v4(),
            pool,
            current: Mutex::default(),
            phase: watch::Sender::new(Phase::Starting),
        });
        self.lock_instances().insert(instance.id, instance.clone());
        let mut tasks = self.lock_tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(instance::run(self.clone(), instance));
    }

    /// Kills every process. What they were working on is lost, as it is on AWS.
    pub(crate) async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.lock_tasks());
        tasks.shutdown().await;
    }

    /// What is left to do when a process has ended, `started` or not. A process that could not even start
    /// takes one waiting event with it, so that a function which never starts answers with errors instead of
    /// being started for ever.
    pub(super) fn ended(&self, instance: &Instance, started: bool, error: impl Fn(Uuid) -> InvokeError) {
        self.lock_instances().remove(&instance.id);
        if let Some(current) = instance.lock().take() {
            let _ = current.reply.send(Err(error(current.request_id)));
        }
        let mut state = instance.pool.lock();
        state.instances -= 1;
        state.idle.retain(|slot| !slot.is_closed());
        if !started && let Some(event) = state.waiting.pop_front() {
            let _ = event.reply.send(Err(error(event.request_id)));
        }
        if state.instances < state.waiting.len().min(self.0.config.max_instances) {
            state.instances += 1;
            self.spawn(instance.pool.clone());
        }
    }

    pub(super) fn instance(&self, id: Uuid) -> Option<Arc<Instance>> {
        self.lock_instances().get(&id).cloned()
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    fn lock_tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.tasks.lock().expect("nothing panics while it holds this lock")
    }

    fn lock_instances(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Instance>>> {
        self.0.instances.lock().expect("nothing panics while it holds this lock")
    }
}

impl FunctionPool {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

impl Instance {
    /// The next event of the function, once there is one, and the time by which it has to be done.
    pub(super) async fn next_event(&self) -> (Uuid, Bytes, Duration) {
        let fresh = self.phase.send_replace(Phase::Idle) == Phase::Starting;
        let (slot, handed_over) = oneshot::channel();
        let waiting = {
            let mut state = self.pool.lock();
            let waiting = state.waiting.pop_front();
            if waiting.is_none() {
                // Who has worked before has warm caches, and comes before who has not.
                let place = if fresh { 0 } else { state.idle.len() };
                state.idle.insert(place, slot);
            }
            waiting
        };
        let event = match waiting {
            Some(event) => event,
            None => handed_over.await.expect("the pool drops no sender without sending"),
        };
        let timeout = self.pool.function.timeout;
        *self.lock() = Some(Current { request_id: event.request_id, reply: event.reply });
        self.phase.send_replace(Phase::Busy { until: tokio::time::Instant::now() + timeout });
        (event.request_id, event.payload, timeout)
    }

    /// Takes the result of the event `request_id`; false if that is not what the process was working on.
    pub(super) fn finish(&self, request_id: Uuid, result: Result<Bytes, InvokeError>) -> bool {
        let current = self.lock().take_if(|current| current.request_id == request_id);
        match current {
            None => false,
            Some(current) => {
                self.phase.send_replace(Phase::Idle);
                // Whoever asked may have stopped waiting.
                let _ = current.reply.send(result);
                true
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().expect("nothing panics while it holds this lock")
    }
}

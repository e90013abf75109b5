//! The processes of a function, and the events that wait for one of them.
//!
//! A process takes its next event when it asks for it, so the first that is free serves the event that has
//! waited longest.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::invocation::{Invocation, InvokeError, Outcome};
use super::log::{LogFormat, LogTail, Report};
use crate::template::Function;

/// A function and its processes.
#[derive(Debug)]
pub(super) struct FunctionPool {
    pub(super) function: Function,
    pub(super) arn: String,
    /// Events that are not answered yet.
    in_progress: Arc<AtomicUsize>,
    state: Mutex<PoolState>,
}

#[derive(Debug)]
struct PoolState {
    /// What new processes run.
    binary: PathBuf,
    /// How often that was replaced: who runs an older one takes no more events.
    generation: u64,
    /// Processes that wait for an event, the warmest at the end.
    idle: Vec<Idle>,
    waiting: VecDeque<Event>,
    instances: usize,
}

#[derive(Debug)]
struct Idle {
    instance: Arc<Instance>,
    slot: oneshot::Sender<Event>,
}

/// An invocation on its way to a process.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) request_id: Uuid,
    pub(super) invocation: Invocation,
    reply: oneshot::Sender<Outcome>,
    permit: Permit,
}

/// Counts as one event in progress as long as it lives.
#[derive(Debug)]
struct Permit(Arc<AtomicUsize>);

/// Ends a task with its owner.
#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

/// What a process gets to work on.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) request_id: Uuid,
    pub(super) invocation: Invocation,
    /// How long it may take.
    pub(super) timeout: Duration,
}

/// One process, as the Runtime API and its own task see it.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: Uuid,
    pub(super) pool: Arc<FunctionPool>,
    pub(super) binary: PathBuf,
    pub(super) phase: watch::Sender<Phase>,
    generation: u64,
    log_format: LogFormat,
    state: Mutex<InstanceState>,
}

#[derive(Debug)]
struct InstanceState {
    /// What it is working on.
    current: HashMap<Uuid, Current>,
    /// Events that are on their way to it.
    handed_over: usize,
    /// The event that it works on or has worked on, which its lines belong to.
    latest: Option<(Uuid, LogTail)>,
    /// When the process was started.
    started_at: Instant,
    /// How long it took to ask for its first event; the report of that event tells it.
    init: Option<Duration>,
    /// By when its first event has to be done, if its start is part of that.
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct Current {
    began: Instant,
    init: Option<Duration>,
    log: LogTail,
    reply: oneshot::Sender<Outcome>,
    /// Ends the wait for its timeout, where that does not end the process.
    expiry: Option<AbortOnDrop>,
    permit: Permit,
}

/// What a process is doing, and since when; its task keeps the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Idle,
    Busy {
        until: Instant,
    },
    /// There is a newer binary than the one it runs.
    Retired,
}

/// All processes, by the id that is in the path of their Runtime API.
#[derive(Debug, Default)]
pub(super) struct Instances(Mutex<HashMap<Uuid, Arc<Instance>>>);

impl Instances {
    pub(super) fn get(&self, id: Uuid) -> Option<Arc<Instance>> {
        self.lock().get(&id).cloned()
    }

    pub(super) fn insert(&self, instance: Arc<Instance>) {
        self.lock().insert(instance.id, instance);
    }

    pub(super) fn remove(&self, id: Uuid) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Instance>>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

impl FunctionPool {
    pub(super) fn new(function: Function, arn: String, binary: PathBuf) -> Self {
        let state =
            PoolState { binary, generation: 0, idle: Vec::new(), waiting: VecDeque::new(), instances: 0 };
        Self { function, arn, in_progress: Arc::default(), state: Mutex::new(state) }
    }

    /// Events that are not answered yet.
    pub(super) fn in_progress(&self) -> usize {
        self.in_progress.load(Ordering::SeqCst)
    }

    /// Gives an event to an idle process, or else keeps it waiting and adds a process if there are less than
    /// `max_instances`.
    pub(super) fn dispatch(
        self: &Arc<Self>,
        mut event: Event,
        max_instances: usize,
        log_format: LogFormat,
    ) -> Option<Arc<Instance>> {
        let mut state = self.lock();
        while let Some(idle) = state.idle.pop() {
            idle.instance.lock().handed_over += 1;
            match idle.slot.send(event) {
                Ok(()) => return None,
                // It is gone; its task will notice.
                Err(returned) => event = returned,
            }
        }
        state.waiting.push_back(event);
        (state.instances < max_instances).then(|| self.add(&mut state, log_format))
    }

    fn add(self: &Arc<Self>, state: &mut PoolState, log_format: LogFormat) -> Arc<Instance> {
        state.instances += 1;
        Arc::new(Instance {
            id: Uuid::new_v4(),
            pool: self.clone(),
            binary: state.binary.clone(),
            phase: watch::Sender::new(Phase::Starting),
            generation: state.generation,
            log_format,
            state: Mutex::new(InstanceState {
                current: HashMap::new(),
                handed_over: 0,
                latest: None,
                started_at: Instant::now(),
                init: None,
                deadline: None,
            }),
        })
    }

    /// Runs the binary in `folder` from now on. Processes of the ones before finish what they are working on.
    pub(super) fn replace(&self, folder: &Path) {
        let mut state = self.lock();
        state.binary = folder.join(&self.function.binary);
        state.generation += 1;
        for idle in state.idle.drain(..) {
            idle.instance.retire();
        }
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

impl Event {
    /// An event, and where its outcome arrives.
    pub(super) fn new(
        request_id: Uuid,
        invocation: Invocation,
        pool: &FunctionPool,
    ) -> (Self, oneshot::Receiver<Outcome>) {
        let (reply, outcome) = oneshot::channel();
        let permit = Permit::new(&pool.in_progress);
        (Self { request_id, invocation, reply, permit }, outcome)
    }
}

impl Instance {
    /// What is left to do when the process has ended, `started` or not: its events fail with `error`. A process
    /// that could not even start takes one waiting event with it, so that a function which never starts
    /// answers with errors instead of being started for ever. The instance that takes its place, if events
    /// are waiting.
    pub(super) fn ended(
        &self,
        started: bool,
        max_instances: usize,
        error: impl Fn(Uuid) -> InvokeError,
    ) -> Option<Arc<Self>> {
        let unfinished = std::mem::take(&mut self.lock().current);
        for (request_id, current) in unfinished {
            self.reply(request_id, current, Err(error(request_id)));
        }
        let mut state = self.pool.lock();
        state.instances -= 1;
        state.idle.retain(|idle| !idle.slot.is_closed());
        if !started && let Some(event) = state.waiting.pop_front() {
            let current = Current::new(event.reply, event.permit, None);
            self.reply(event.request_id, current, Err(error(event.request_id)));
        }
        let is_needed = state.instances < state.waiting.len().min(max_instances);
        is_needed.then(|| self.pool.add(&mut state, self.log_format))
    }

    /// The next event of the function, once there is one.
    pub(super) async fn next_event(self: &Arc<Self>) -> Work {
        let fresh = *self.phase.borrow() == Phase::Starting;
        if fresh {
            let mut state = self.lock();
            state.init = Some(state.started_at.elapsed());
            drop(state);
            self.phase.send_replace(Phase::Idle);
        }
        let (slot, handed_over) = oneshot::channel();
        let waiting = {
            let mut pool = self.pool.lock();
            if pool.generation != self.generation {
                self.retire();
                None
            } else if let Some(event) = pool.waiting.pop_front() {
                Some(event)
            } else {
                // Who has worked before has warm caches, and comes before who has not.
                let place = if fresh { 0 } else { pool.idle.len() };
                pool.idle.insert(place, Idle { instance: self.clone(), slot });
                None
            }
        };
        match waiting {
            Some(event) => self.begin(event, 0),
            None => match handed_over.await {
                Ok(event) => self.begin(event, 1),
                // Retired: its task ends it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Takes no more events, and ends once there is nothing left to do.
    fn retire(&self) {
        let state = self.lock();
        if state.is_free() {
            self.phase.send_replace(Phase::Retired);
        }
    }

    fn begin(self: &Arc<Self>, event: Event, handed_over: usize) -> Work {
        let Event { request_id, invocation, reply, permit } = event;
        let mut timeout = self.pool.function.timeout;
        let mut state = self.lock();
        let now = Instant::now();
        if let Some(deadline) = state.deadline.take() {
            timeout = timeout.min(deadline.saturating_duration_since(now));
        }
        let mut current = Current::new(reply, permit, state.init.take());
        state.latest = Some((request_id, current.log.clone()));
        state.handed_over -= handed_over;
        let managed = self.pool.function.concurrency.is_some();
        if managed {
            // It goes on with an event that takes too long; only the caller is told.
            let expiring = tokio::spawn(expire(self.clone(), request_id, timeout));
            current.expiry = Some(AbortOnDrop(expiring.abort_handle()));
        }
        state.current.insert(request_id, current);
        drop(state);
        if !managed {
            self.phase.send_replace(Phase::Busy { until: now + timeout });
        }
        Work { request_id, invocation, timeout }
    }

    /// The start of the process has failed once; it is repeated as part of its first event, which has to be
    /// done by `deadline`.
    pub(super) fn starts_again(&self, deadline: Instant) {
        let mut state = self.lock();
        state.started_at = Instant::now();
        state.deadline = Some(deadline);
    }

    /// Takes the result of the event `request_id`; false if that is not what the process was working on.
    pub(super) fn finish(&self, request_id: Uuid, result: Result<Bytes, InvokeError>) -> bool {
        let mut state = self.lock();
        let Some(current) = state.current.remove(&request_id) else {
            return false;
        };
        drop(state);
        let outdated = self.pool.lock().generation != self.generation;
        let state = self.lock();
        if state.is_free() {
            self.phase.send_replace(if outdated { Phase::Retired } else { Phase::Idle });
        }
        drop(state);
        self.reply(request_id, current, result);
        true
    }

    fn reply(&self, request_id: Uuid, current: Current, result: Result<Bytes, InvokeError>) {
        let function = &self.pool.function;
        let duration = current.began.elapsed();
        let error = result.as_ref().err().map(InvokeError::error_type);
        self.log_format.report(&Report {
            function: &function.name,
            request_id,
            duration,
            init: current.init,
            memory_mb: function.memory_mb,
            error: error.as_deref(),
        });
        // From here on it is in progress no longer: whoever asked may ask again at once.
        let Current { log, reply, permit, .. } = current;
        drop(permit);
        // Or may have stopped waiting.
        let _ = reply.send(Outcome { request_id, result, duration, log });
    }

    /// A line that the process has written.
    pub(super) fn line(&self, line: &str) {
        let latest = self.lock().latest.clone();
        if let Some((_, log)) = &latest {
            log.add(line);
        }
        self.log_format.line(&self.pool.function.name, latest.map(|(id, _)| id), line);
    }

    fn lock(&self) -> MutexGuard<'_, InstanceState> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

impl InstanceState {
    fn is_free(&self) -> bool {
        self.current.is_empty() && self.handed_over == 0
    }
}

impl Current {
    fn new(reply: oneshot::Sender<Outcome>, permit: Permit, init: Option<Duration>) -> Self {
        let log = LogTail::default();
        Self { began: Instant::now(), init, log, reply, expiry: None, permit }
    }
}

impl Permit {
    fn new(in_progress: &Arc<AtomicUsize>) -> Self {
        in_progress.fetch_add(1, Ordering::SeqCst);
        Self(in_progress.clone())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers for an event that a Managed Instance is still working on.
async fn expire(instance: Arc<Instance>, request_id: Uuid, timeout: Duration) {
    tokio::time::sleep(timeout).await;
    instance.finish(request_id, Err(InvokeError::timed_out(request_id, timeout)));
}

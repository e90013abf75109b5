//! The processes of a function, and the events that wait for a process.
//!
//! A process asks for its next event, so the first process that is free gets the event that has waited
//! longest.

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
use crate::as_on_aws::Processor;
use crate::template::Function;

/// A function and its processes.
#[derive(Debug)]
pub(super) struct FunctionPool {
    pub(super) function: Function,
    pub(super) arn: String,
    /// The number of events without an outcome.
    in_progress: Arc<AtomicUsize>,
    state: Mutex<PoolState>,
}

#[derive(Debug)]
struct PoolState {
    /// The binary of new processes.
    binary: PathBuf,
    /// The generation of that binary. Processes of older generations get no more events.
    generation: u64,
    /// Processes that wait for an event, the most recently used at the end.
    idle: Vec<Idle>,
    waiting: VecDeque<Event>,
    instances: usize,
}

#[derive(Debug)]
struct Idle {
    instance: Arc<Instance>,
    slot: oneshot::Sender<Event>,
}

/// An event on its way to a process.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) request_id: Uuid,
    pub(super) invocation: Invocation,
    reply: oneshot::Sender<Outcome>,
    permit: Permit,
}

/// Counts as one event in progress until it is dropped.
#[derive(Debug)]
struct Permit(Arc<AtomicUsize>);

/// Aborts a task when it is dropped.
#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

/// An event, as a process gets it.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) request_id: Uuid,
    pub(super) invocation: Invocation,
    /// The time limit.
    pub(super) timeout: Duration,
}

/// A process, as the Runtime API and its task see it.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: Uuid,
    pub(super) pool: Arc<FunctionPool>,
    pub(super) binary: PathBuf,
    pub(super) phase: watch::Sender<Phase>,
    generation: u64,
    log_format: LogFormat,
    /// The processor of the process, if it is limited as on AWS.
    processor: Mutex<Option<Processor>>,
    state: Mutex<InstanceState>,
}

#[derive(Debug)]
struct InstanceState {
    /// The events that it is handling.
    current: HashMap<Uuid, Current>,
    /// The number of events that were sent to it and have not arrived.
    handed_over: usize,
    /// The event that it handles or has handled last: its lines belong to that.
    latest: Option<(Uuid, LogTail)>,
    /// When the process was started.
    started_at: Instant,
    /// How long it took to ask for its first event, until it is reported.
    init: Option<Duration>,
    /// The deadline of its first event, if the start counts towards its time limit.
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct Current {
    began: Instant,
    init: Option<Duration>,
    log: LogTail,
    reply: oneshot::Sender<Outcome>,
    /// The timer of its time limit, if a timeout does not end the process.
    expiry: Option<AbortOnDrop>,
    permit: Permit,
}

/// What a process is doing. Its task enforces the time limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Idle,
    Busy {
        until: Instant,
    },
    /// There is a newer binary.
    Retired,
}

/// All processes, by the id in the path of their Runtime API.
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

    /// Sends an event to an idle process. If there is none, the event waits, and a process is added if there
    /// are fewer than `max_instances`: the caller has to start it.
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
                // The process has ended; its task will notice.
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
            processor: Mutex::default(),
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

    /// Runs the binary in `folder` from now on. Processes of older generations finish their events.
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
    /// An event, and the receiver of its outcome; `None` if so many are in progress already.
    pub(super) fn new(
        request_id: Uuid,
        invocation: Invocation,
        pool: &FunctionPool,
        most: usize,
    ) -> Option<(Self, oneshot::Receiver<Outcome>)> {
        let permit = Permit::take(&pool.in_progress, most)?;
        let (reply, outcome) = oneshot::channel();
        Some((Self { request_id, invocation, reply, permit }, outcome))
    }
}

impl Instance {
    /// Ends the events of a process that has ended with `error`. A process that has not even `started` also
    /// takes a waiting event with it, so that a function that never starts returns errors instead of being
    /// started for ever. Returns the replacement, if events are waiting.
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

    /// Waits for the next event.
    pub(super) async fn next_event(self: &Arc<Self>) -> Work {
        let fresh = *self.phase.borrow() == Phase::Starting;
        if fresh {
            let mut state = self.lock();
            state.init = Some(state.started_at.elapsed());
            drop(state);
            self.phase.send_replace(Phase::Idle);
            self.lock_processor().iter_mut().for_each(Processor::limit);
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
                // A process that has handled events has warm caches, and is preferred.
                let place = if fresh { 0 } else { pool.idle.len() };
                pool.idle.insert(place, Idle { instance: self.clone(), slot });
                None
            }
        };
        match waiting {
            Some(event) => self.begin(event, 0),
            None => match self.frozen_until(handed_over).await {
                Ok(event) => self.begin(event, 1),
                // Retired: its task ends the process.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Freezes the process until `waited_for` is ready. A Managed Instance is not frozen: it may be handling
    /// other events.
    async fn frozen_until<T>(&self, waited_for: impl Future<Output = T>) -> T {
        if self.pool.function.concurrency.is_none() {
            self.lock_processor().iter().for_each(Processor::freeze);
        }
        waited_for.await
    }

    /// Sets the processor of the process, if it is limited as on AWS.
    pub(super) fn set_processor(&self, processor: Option<Processor>) {
        *self.lock_processor() = processor;
    }

    fn lock_processor(&self) -> MutexGuard<'_, Option<Processor>> {
        self.processor.lock().expect("nothing panics while it holds this lock")
    }

    /// Ends the process if it has no events. Otherwise [`Self::finish`] does, after the last one.
    fn retire(&self) {
        let state = self.lock();
        if state.is_free() {
            self.phase.send_replace(Phase::Retired);
        }
    }

    fn begin(self: &Arc<Self>, event: Event, handed_over: usize) -> Work {
        let Event { request_id, invocation, reply, permit } = event;
        self.lock_processor().iter().for_each(Processor::thaw);
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
            // A Managed Instance goes on with an event that times out; only the caller gets an error.
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

    /// Records that the start has failed once. The second start is part of the first event, whose deadline is
    /// `deadline`.
    pub(super) fn starts_again(&self, deadline: Instant) {
        let mut state = self.lock();
        state.started_at = Instant::now();
        state.deadline = Some(deadline);
    }

    /// Takes the result of an event; false if the process is not handling that event.
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
        if let Some(processor) = &*self.lock_processor() {
            processor.bill(&function.name, duration, current.init);
        }
        self.log_format.report(&Report {
            function: &function.name,
            request_id,
            duration,
            init: current.init,
            memory_mb: function.memory_mb,
            error: error.as_deref(),
        });
        // From here on the event is not in progress, so the caller may send another one at once.
        let Current { log, reply, permit, .. } = current;
        drop(permit);
        // The caller may have stopped waiting.
        let _ = reply.send(Outcome { request_id, result, duration, log });
    }

    /// Takes a line that the process has written.
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
    /// `None` if `most` are taken. Comparing and counting are one atomic step, so an event that is refused
    /// never counts against another one.
    fn take(in_progress: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let one_more = |count| (count < most).then_some(count + 1);
        in_progress.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        Some(Self(in_progress.clone()))
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

/// Ends an event of a Managed Instance once its time limit is over. The process goes on.
async fn expire(instance: Arc<Instance>, request_id: Uuid, timeout: Duration) {
    tokio::time::sleep(timeout).await;
    instance.finish(request_id, Err(InvokeError::timed_out(request_id, timeout)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_that_is_refused_counts_for_nothing() {
        let in_progress = Arc::default();
        let first = Permit::take(&in_progress, 1).expect("nothing is in progress");
        assert!(Permit::take(&in_progress, 1).is_none());
        assert!(Permit::take(&in_progress, 1).is_none());
        drop(first);
        assert!(Permit::take(&in_progress, 1).is_some());
    }
}

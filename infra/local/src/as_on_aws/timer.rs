//! A timer that is more precise than that of the runtime, which has whole milliseconds.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// A waiting task: when it is due, and how it is woken.
type Sleeper = (Instant, oneshot::Sender<()>);

static SLEEPERS: LazyLock<Sender<Sleeper>> = LazyLock::new(|| {
    let (sender, sleepers) = channel();
    std::thread::spawn(move || wake(&sleepers));
    sender
});

/// Sleeps until `due`, without occupying a thread.
pub(super) async fn sleep_until(due: Instant) {
    if due <= Instant::now() {
        return;
    }
    let (wakes, woken) = oneshot::channel();
    SLEEPERS.send((due, wakes)).expect("the thread lasts as long as this process");
    let _ = woken.await;
}

fn wake(new: &Receiver<Sleeper>) {
    let mut asleep: BTreeMap<(Instant, u64), oneshot::Sender<()>> = BTreeMap::new();
    // The number tells those apart who are due at once.
    for number in 0_u64.. {
        let now = Instant::now();
        while let Some(first) = asleep.first_entry()
            && first.key().0 <= now
        {
            // They may have stopped waiting.
            let _ = first.remove().send(());
        }
        let next = asleep.first_key_value().map(|((due, _), _)| due.saturating_duration_since(now));
        match new.recv_timeout(next.unwrap_or(Duration::MAX)) {
            Ok((due, wakes)) => drop(asleep.insert((due, number), wakes)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

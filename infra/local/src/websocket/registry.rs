//! The open connections, and how frames reach them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::peer::Peer;

/// The maximum number of bytes that wait for a client. One frame may always wait. API Gateway's limit is not
/// public.
const SEND_BUFFER: usize = 512 * 1024;

/// The cost of a waiting frame besides its text, in bytes.
const FRAME_OVERHEAD: usize = 64;

/// Why a frame is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undeliverable {
    /// The connection has ended.
    Gone,
    /// The client does not read.
    BufferFull,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    opened: Instant,
    /// When the last frame was sent or received, in milliseconds since the connection opened.
    active_ms: AtomicU64,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    /// The number of bytes that wait for the client.
    buffered: AtomicUsize,
    closing: Notify,
}

/// What is sent to a client, in order.
#[derive(Debug)]
pub(super) enum Outgoing {
    Text {
        text: Utf8Bytes,
        /// When it was queued.
        since: Instant,
    },
    Close,
}

impl Connection {
    /// A connection, and the receiver of its frames.
    pub(super) fn new(peer: Peer) -> (Arc<Self>, mpsc::UnboundedReceiver<Outgoing>) {
        let (outgoing, frames) = mpsc::unbounded_channel();
        let connection = Self {
            peer,
            opened: Instant::now(),
            active_ms: AtomicU64::new(0),
            outgoing,
            buffered: AtomicUsize::new(0),
            closing: Notify::new(),
        };
        (Arc::new(connection), frames)
    }

    /// Queues a text frame.
    pub(crate) fn send(&self, text: Utf8Bytes) -> Result<(), Undeliverable> {
        let cost = text.len() + FRAME_OVERHEAD;
        let before = self.buffered.fetch_add(cost, Ordering::Relaxed);
        if before > 0 && before + cost > SEND_BUFFER {
            self.buffered.fetch_sub(cost, Ordering::Relaxed);
            return Err(Undeliverable::BufferFull);
        }
        let frame = Outgoing::Text { text, since: Instant::now() };
        self.outgoing.send(frame).map_err(|_| Undeliverable::Gone)
    }

    /// Records that a text of so many bytes was sent.
    pub(super) fn sent(&self, bytes: usize) {
        self.buffered.fetch_sub(bytes + FRAME_OVERHEAD, Ordering::Relaxed);
        self.touch();
    }

    /// Closes the connection after the queued frames. A client that does not read cannot prevent it.
    pub(crate) fn close(&self) {
        // A connection that has ended needs no closing.
        let _ = self.outgoing.send(Outgoing::Close);
        self.closing.notify_one();
    }

    /// Waits until `close` is called.
    pub(super) async fn asked_to_close(&self) {
        self.closing.notified().await;
    }

    /// The answer to `GET @connections/{id}`.
    pub(crate) fn describe(&self) -> Value {
        let at = |time: OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
        json!({
            "connectedAt": at(self.peer.connected_at),
            "lastActiveAt": at(self.last_active()),
            "identity": self.peer.identity,
        })
    }

    /// When the last frame was sent or received.
    fn last_active(&self) -> OffsetDateTime {
        self.peer.connected_at + Duration::from_millis(self.active_ms.load(Ordering::Relaxed))
    }

    /// The same on the monotonic clock.
    pub(super) fn active_at(&self) -> Instant {
        self.opened + Duration::from_millis(self.active_ms.load(Ordering::Relaxed))
    }

    pub(super) fn touch(&self) {
        let ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active_ms.store(ms, Ordering::Relaxed);
    }
}

/// All open connections by id.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<HashMap<String, Arc<Connection>>>);

impl Registry {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Connection>> {
        self.lock().get(id).cloned()
    }

    /// All connections, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_by_key(|connection| connection.peer.connected_at);
        all
    }

    pub(super) fn insert(&self, connection: Arc<Connection>) {
        self.lock().insert(connection.peer.connection_id.clone(), connection);
    }

    pub(crate) fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

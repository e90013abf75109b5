//! The connections that are open, and the way into each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::event::Identity;

/// How many frames may wait for a client that does not read. API Gateway tells nobody its number.
const SEND_BUFFER: usize = 256;

/// Bytes in an id; in Base64 they end with the `=` that makes careless URLs fail.
const ID_BYTES: usize = 11;

/// Why a frame was not taken.
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
    pub(crate) id: String,
    pub(crate) identity: Identity,
    pub(crate) connected_at: OffsetDateTime,
    last_active_ms: AtomicI64,
    outgoing: mpsc::Sender<Utf8Bytes>,
    closing: Notify,
}

impl Connection {
    /// A connection and the frames that will go to its client.
    pub(super) fn new(
        id: String,
        identity: Identity,
        connected_at: OffsetDateTime,
    ) -> (Arc<Self>, mpsc::Receiver<Utf8Bytes>) {
        let (outgoing, frames) = mpsc::channel(SEND_BUFFER);
        let last_active_ms = AtomicI64::new(epoch_ms(connected_at));
        (
            Arc::new(Self { id, identity, connected_at, last_active_ms, outgoing, closing: Notify::new() }),
            frames,
        )
    }

    /// Sends a text frame, as soon as the client reads it.
    pub(crate) fn send(&self, text: Utf8Bytes) -> Result<(), Undeliverable> {
        self.outgoing.try_send(text).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Undeliverable::BufferFull,
            mpsc::error::TrySendError::Closed(_) => Undeliverable::Gone,
        })
    }

    /// Closes the connection, after the frames that were sent before. A client that reads none of them cannot
    /// prevent it.
    pub(crate) fn close(&self) {
        self.closing.notify_one();
    }

    /// Waits until somebody does.
    pub(super) async fn asked_to_close(&self) {
        self.closing.notified().await;
    }

    /// When the last frame passed, in either direction.
    pub(crate) fn last_active(&self) -> OffsetDateTime {
        let ms = self.last_active_ms.load(Ordering::Relaxed);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap_or(self.connected_at)
    }

    pub(super) fn touch(&self) {
        self.last_active_ms.store(epoch_ms(OffsetDateTime::now_utc()), Ordering::Relaxed);
    }
}

/// All open connections by id.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<HashMap<String, Arc<Connection>>>);

impl Registry {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Connection>> {
        self.lock().get(id).cloned()
    }

    pub(super) fn insert(&self, connection: Arc<Connection>) {
        self.lock().insert(connection.id.clone(), connection);
    }

    pub(super) fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

/// A fresh id of a connection, a message or a request.
pub(super) fn new_id() -> String {
    BASE64_URL_SAFE.encode(rand::random::<[u8; ID_BYTES]>())
}

/// Whether a connection could have this id.
pub(crate) fn is_connection_id(id: &str) -> bool {
    BASE64_URL_SAFE.decode(id).is_ok_and(|bytes| bytes.len() == ID_BYTES)
}

pub(super) fn epoch_ms(at: OffsetDateTime) -> i64 {
    (at.unix_timestamp_nanos() / 1_000_000)
        .try_into()
        .expect("the clock is within a few million years of 1970")
}

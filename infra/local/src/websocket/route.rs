//! Routes messages to functions, and their results to clients.

use std::sync::Arc;

use serde::Deserialize;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::peer::Peer;
use super::registry::Connection;
use super::{Gateway, Inner};
use crate::lambda::InvokeError;
use crate::request::new_id;

/// Handles a message.
pub(super) async fn route(gateway: Gateway, connection: Arc<Connection>, text: Utf8Bytes) {
    let peer = &connection.peer;
    let inner = &gateway.0;
    let selected = inner.api.selection.key(&text);
    let found = inner.api.routes.get_key_value(&selected).filter(|(key, _)| !key.starts_with('$'));
    let Some((key, route)) = found.or_else(|| inner.api.routes.get_key_value("$default")) else {
        return send(&connection, error_frame("Forbidden", peer, &new_id()));
    };
    if !inner.buckets.take(key) {
        return send(&connection, error_frame("Too Many Requests", peer, &new_id()));
    }
    let event = inner.message_event(peer, key, &text);
    let invoked = inner.lambda.invoke(&route.function, event.payload.to_string());
    let frame = match timeout(route.timeout, invoked).await {
        Ok(Ok(result)) if route.responds => match response_body(&result) {
            Some(body) => body,
            None => return,
        },
        Ok(Ok(_)) => return,
        Ok(Err(InvokeError::Unreachable(reason))) => {
            eprintln!("{}: {reason}", route.function);
            error_frame("Internal server error", peer, &event.request_id)
        }
        Ok(Err(InvokeError::Function(_) | InvokeError::NotFound | InvokeError::Throttled)) => {
            error_frame("Internal server error", peer, &event.request_id)
        }
        Err(_) => error_frame("Endpoint request timed out", peer, &event.request_id),
    };
    send(&connection, frame);
}

impl Inner {
    /// Invokes `$disconnect`, and ignores the result.
    pub(super) async fn disconnect(&self, peer: &Peer, code: u16, reason: &str) {
        let Some(route) = self.api.routes.get("$disconnect") else {
            return;
        };
        let event = self.disconnect_event(peer, code, reason);
        let invoked = self.lambda.invoke(&route.function, event.payload.to_string());
        match timeout(route.timeout, invoked).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => eprintln!("{}: $disconnect failed: {error:?}", route.function),
            Err(_) => eprintln!("{}: $disconnect took too long", route.function),
        }
    }
}

/// The body of a proxy result, whatever its status.
fn response_body(result: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct ProxyResult {
        body: Option<String>,
    }
    serde_json::from_slice::<ProxyResult>(result).ok()?.body
}

/// An error frame with the bytes of API Gateway, including the spaces.
fn error_frame(message: &str, peer: &Peer, request_id: &str) -> String {
    format!(
        r#"{{"message": "{message}", "connectionId":"{}", "requestId":"{request_id}"}}"#,
        peer.connection_id
    )
}

fn send(connection: &Connection, frame: String) {
    // If the client is gone or does not read, nobody is told.
    let _ = connection.send(frame.into());
}

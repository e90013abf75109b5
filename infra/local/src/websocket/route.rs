//! A message finds its function, and the function's answer its client.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::event::Peer;
use super::registry::{Connection, new_id};
use super::{Gateway, Inner};
use crate::lambda::InvokeError;

/// Runs the route of one message.
pub(super) async fn route(gateway: Gateway, peer: Peer, connection: Arc<Connection>, text: Utf8Bytes) {
    let inner = &gateway.0;
    let selected = selected(&inner.api.selection, &text);
    let found = inner.api.routes.get_key_value(&selected).filter(|(key, _)| !key.starts_with('$'));
    let Some((key, route)) = found.or_else(|| inner.api.routes.get_key_value("$default")) else {
        return send(&connection, error_frame("Forbidden", &peer, &new_id()));
    };
    let event = inner.message_event(&peer, key, &text);
    let invoked = inner.lambda.invoke(&route.function, event.payload.to_string().into());
    let frame = match timeout(route.timeout, invoked).await {
        Ok(Ok(result)) if route.responds => match response_body(&result) {
            Some(body) => body,
            None => return,
        },
        Ok(Ok(_)) => return,
        Ok(Err(InvokeError::Unreachable(reason))) => {
            eprintln!("{}: {reason}", route.function);
            error_frame("Internal server error", &peer, &event.request_id)
        }
        Ok(Err(InvokeError::Function(_) | InvokeError::NotFound | InvokeError::Throttled)) => {
            error_frame("Internal server error", &peer, &event.request_id)
        }
        Err(_) => error_frame("Endpoint request timed out", &peer, &event.request_id),
    };
    send(&connection, frame);
}

impl Inner {
    /// Runs `$disconnect`. Its result goes nowhere.
    pub(super) async fn disconnect(&self, peer: &Peer, code: u16, reason: &str) {
        let Some(route) = self.api.routes.get("$disconnect") else {
            return;
        };
        let event = self.disconnect_event(peer, code, reason);
        let invoked = self.lambda.invoke(&route.function, event.payload.to_string().into());
        match timeout(route.timeout, invoked).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => eprintln!("{}: $disconnect failed: {error:?}", route.function),
            Err(_) => eprintln!("{}: $disconnect took too long", route.function),
        }
    }
}

/// The route key that a message names; empty if it names none.
fn selected(path: &[String], text: &str) -> String {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    match path.iter().try_fold(&body, |value, name| value.get(name)) {
        Some(Value::String(key)) => key.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// What a function's proxy result says to the client, whatever its status.
fn response_body(result: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct ProxyResult {
        body: Option<String>,
    }
    serde_json::from_slice::<ProxyResult>(result).ok()?.body
}

/// The bytes that API Gateway sends, spaces included.
fn error_frame(message: &str, peer: &Peer, request_id: &str) -> String {
    format!(
        r#"{{"message": "{message}", "connectionId":"{}", "requestId":"{request_id}"}}"#,
        peer.connection_id
    )
}

fn send(connection: &Connection, frame: String) {
    // A client that is gone or does not read gets no answer; there is nobody else to tell.
    let _ = connection.send(frame.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_is_what_the_path_leads_to() {
        let path = ["action".to_owned()];
        assert_eq!(selected(&path, r#"{"action":"ping"}"#), "ping");
        assert_eq!(selected(&path, r#"{"action":5}"#), "5");
        assert_eq!(selected(&path, r#"{"other":1}"#), "");
        assert_eq!(selected(&path, "[]"), "");
        assert_eq!(selected(&path, "not JSON"), "");
    }
}

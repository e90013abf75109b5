//! Events of a WebSocket API. As on AWS, empty keys are absent, except in the event of the authorizer.

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::Inner;
use super::peer::Peer;
use crate::request::{CLF, new_id, trace_root};

/// An event, and its request id.
pub(super) struct Event {
    pub(super) request_id: String,
    pub(super) payload: Value,
}

impl Inner {
    /// The event of `$connect`.
    pub(super) fn connect_event(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        query: &[(String, String)],
    ) -> Event {
        let (request_id, context) = self.context(peer, "$connect", "CONNECT");
        let mut payload = json!({ "requestContext": context, "isBase64Encoded": false });
        // The headers of the upgrade do not reach the function.
        let reaches_function = |name: &str| !matches!(name, "connection" | "upgrade" | "content-length");
        set_headers(&mut payload, headers, reaches_function);
        set_query(&mut payload, query);
        if !self.api.stage_variables.is_empty() {
            payload["stageVariables"] = json!(self.api.stage_variables);
        }
        Event { request_id, payload }
    }

    /// The event of the authorizer.
    pub(super) fn authorizer_event(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        query: &[(String, String)],
    ) -> Event {
        let (request_id, context) = self.context(peer, "$connect", "CONNECT");
        let mut payload = json!({
            "type": "REQUEST",
            "methodArn": self.connect_arn(),
            "queryStringParameters": {},
            "multiValueQueryStringParameters": {},
            "stageVariables": self.api.stage_variables,
            "requestContext": context,
        });
        set_headers(&mut payload, headers, |_| true);
        payload["headers"]["content-length"] = "0".into();
        payload["multiValueHeaders"]["content-length"] = json!(["0"]);
        set_query(&mut payload, query);
        Event { request_id, payload }
    }

    /// The event of a message.
    pub(super) fn message_event(&self, peer: &Peer, route_key: &str, body: &str) -> Event {
        let (request_id, mut context) = self.context(peer, route_key, "MESSAGE");
        context.insert("messageId".to_owned(), new_id().into());
        Event {
            request_id,
            payload: json!({ "requestContext": context, "body": body, "isBase64Encoded": false }),
        }
    }

    /// The event of `$disconnect`.
    pub(super) fn disconnect_event(&self, peer: &Peer, status_code: u16, reason: &str) -> Event {
        let (request_id, mut context) = self.context(peer, "$disconnect", "DISCONNECT");
        context.insert("disconnectStatusCode".to_owned(), status_code.into());
        context.insert("disconnectReason".to_owned(), reason.into());
        let host = self.values.domain(&self.api.id);
        let payload = json!({
            "headers": { "Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": "" },
            "multiValueHeaders": { "Host": [host], "x-api-key": [""], "X-Forwarded-For": [""],
                "x-restapi": [""] },
            "requestContext": context,
            "isBase64Encoded": false,
        });
        Event { request_id, payload }
    }

    /// The ARN that the policy of the authorizer has to allow.
    pub(super) fn connect_arn(&self) -> String {
        let Self { api, values, .. } = self;
        format!("arn:aws:execute-api:{}:{}:{}/{}/$connect", values.region, values.account, api.id, api.stage)
    }

    fn context(&self, peer: &Peer, route_key: &str, event_type: &str) -> (String, Map<String, Value>) {
        let now = OffsetDateTime::now_utc();
        let request_id = new_id();
        let mut context = json!({
            "routeKey": route_key,
            "eventType": event_type,
            "extendedRequestId": request_id,
            "requestTime": now.format(CLF).expect("every part of the format exists"),
            "messageDirection": "IN",
            "stage": self.api.stage,
            "connectedAt": epoch_ms(peer.connected_at),
            "requestTimeEpoch": epoch_ms(now),
            "identity": peer.identity,
            "requestId": request_id,
            "domainName": self.values.domain(&self.api.id),
            "connectionId": peer.connection_id,
            "apiId": self.api.id,
        });
        if let Some(authorizer) = &peer.authorizer {
            context["authorizer"] = authorizer.clone().into();
        }
        match context {
            Value::Object(context) => (request_id, context),
            _ => unreachable!("it was made as an object"),
        }
    }
}

fn epoch_ms(at: OffsetDateTime) -> i64 {
    (at.unix_timestamp_nanos() / 1_000_000)
        .try_into()
        .expect("the clock is within a few million years of 1970")
}

/// The headers of the handshake, and those that the gateway adds.
fn set_headers(payload: &mut Value, headers: &HeaderMap, keep: impl Fn(&str) -> bool) {
    let mut single = Map::new();
    let mut multiple = Map::new();
    let from = payload["requestContext"]["identity"]["sourceIp"].as_str().unwrap_or_default().to_owned();
    for name in headers.keys().filter(|name| keep(name.as_str())) {
        let values: Vec<Value> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned().into())
            .collect();
        let name = canonical(name.as_str());
        single.insert(name.clone(), values.last().cloned().unwrap_or_default());
        multiple.insert(name, values.into());
    }
    // Overwritten, whatever the client sent.
    for (name, value) in [
        ("X-Amzn-Trace-Id", trace_root()),
        ("X-Forwarded-For", from),
        ("X-Forwarded-Port", "443".to_owned()),
        ("X-Forwarded-Proto", "https".to_owned()),
    ] {
        single.insert(name.to_owned(), value.clone().into());
        multiple.insert(name.to_owned(), json!([value]));
    }
    payload["headers"] = single.into();
    payload["multiValueHeaders"] = multiple.into();
}

/// `sec-websocket-key` as `Sec-WebSocket-Key`. API Gateway keeps the spelling of the client, which the HTTP
/// library loses; this is the spelling of browsers.
fn canonical(name: &str) -> String {
    let capital = |word: &str| match word {
        "websocket" => "WebSocket".to_owned(),
        _ => word[..1].to_uppercase() + &word[1..],
    };
    name.split('-')
        .map(|word| if word.is_empty() { String::new() } else { capital(word) })
        .collect::<Vec<_>>()
        .join("-")
}

fn set_query(payload: &mut Value, query: &[(String, String)]) {
    if query.is_empty() {
        return;
    }
    let mut single = Map::new();
    let mut multiple: Map<String, Value> = Map::new();
    for (name, value) in query {
        single.insert(name.clone(), value.clone().into());
        if let Value::Array(values) = multiple.entry(name.clone()).or_insert_with(|| json!([])) {
            values.push(value.clone().into());
        }
    }
    payload["queryStringParameters"] = single.into();
    payload["multiValueQueryStringParameters"] = multiple.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_spelled_as_browsers_do() {
        assert_eq!(canonical("sec-websocket-key"), "Sec-WebSocket-Key");
        assert_eq!(canonical("host"), "Host");
    }
}

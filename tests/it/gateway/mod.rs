//! The local gateway, compared with what is known of API Gateway and Lambda. `tests/gateway` has the
//! functions.

mod callbacks;
mod closing;
mod dawdling;
mod developing;
mod events;
mod handshakes;
mod http_api;
mod invoking;
mod load;
mod messages;
mod templates;

use harness::{Socket, Stack, eventually};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// The id of a connection of the stage `main`, from its events.
async fn id_of(socket: &mut Socket) -> String {
    socket.sends(json!({ "action": "echo" }).to_string()).await;
    let event = socket.receives_json().await;
    event["requestContext"]["connectionId"].as_str().unwrap().to_owned()
}

/// The URL of the callbacks to a connection.
fn connection_url(stack: &Stack, stage: &str, id: &str) -> String {
    stack.http(&format!("/{stage}/@connections/{}", utf8_percent_encode(id, NON_ALPHANUMERIC)))
}

/// The event of this connection that a function has logged.
async fn recorded(stack: &Stack, route_key: &str, id: &str) -> Value {
    let find = || {
        let events = stack.lines().into_iter().map(|(_, line)| line["event"].clone());
        events.into_iter().find(|event| {
            event["requestContext"]["routeKey"] == route_key
                && event["type"] != "REQUEST"
                && event["requestContext"]["connectionId"] == id
        })
    };
    eventually(&format!("{route_key} is recorded"), async || find().is_some()).await;
    find().expect("it was just found")
}

/// The names of an object's members.
fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

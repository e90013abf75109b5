//! The WebSocket protocol as an AsyncAPI 3 document.

use protocol::{
    Answer, ChangeReaction, DeleteMessage, EditMessage, ErrorFrame, FrameId, JoinConversation,
    LeaveConversation, MarkRead, Ping, SendMessage, Typing,
};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use crate::{Schemas, examples, info};

/// What an event tells, and to whom.
const EVENTS: [(&str, &str); 13] = [
    ("joined_conversation", "Answers `join_conversation`."),
    ("left_conversation", "Answers `leave_conversation`."),
    (
        "new_message",
        "Answers `send_message`; unasked, somebody sent to a conversation that this connection has joined.",
    ),
    (
        "message_changed",
        "Answers `edit_message`, `delete_message`, `add_reaction` and `remove_reaction`; unasked, somebody \
            changed a message of a conversation that this connection has joined.",
    ),
    (
        "conversation_updated",
        "Somebody sent to one of the user's conversations that this connection has not joined, or changed \
            its latest message. Not in groups of more than 80 participants: there `pong` tells.",
    ),
    (
        "conversation_changed",
        "The title or the avatar of a group has changed. In a group of more than 80 only connections that \
            have joined it are told.",
    ),
    (
        "participants_changed",
        "Users were added to a group or removed from it, or have new roles. Those who were added or removed \
            are told too.",
    ),
    (
        "messages_read",
        "Answers `mark_read`; unasked, another device of the user has read, or the other side of a \
            conversation of two.",
    ),
    ("user_online", "Somebody who shares a conversation with the user has a connection now."),
    (
        "user_offline",
        "They have none any more. Of two such frames the one with the higher `version` is true.",
    ),
    ("user_typing", "Somebody types in a conversation that this connection has joined."),
    ("user_stopped_typing", "They have stopped. A message of theirs says so too."),
    ("pong", "Answers `ping`."),
];

/// The document.
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut messages = Map::new();
    let mut replies = Map::new();
    let mut operations = Map::new();

    // What clients send, and the event that answers it.
    let mut action = |name: &str, answer: Option<&str>, summary: &str, frame: Value| {
        messages.insert(name.to_owned(), json!({ "name": name, "summary": summary, "payload": frame }));
        let mut operation = json!({
            "action": "receive",
            "channel": { "$ref": "#/channels/connection" },
            "summary": summary,
            "messages": [message_ref(name)],
        });
        if let Some(answer) = answer {
            let answers = [message_ref(answer), message_ref("error")];
            operation["reply"] =
                json!({ "channel": { "$ref": "#/channels/connection" }, "messages": answers });
        }
        replies.insert(name.to_owned(), operation);
    };
    let frame = &mut schemas;
    let join = with_action::<JoinConversation>(frame, "join_conversation");
    action(
        "join_conversation",
        Some("joined_conversation"),
        "From now on this connection gets the conversation's messages.",
        join,
    );
    let leave = with_action::<LeaveConversation>(frame, "leave_conversation");
    action(
        "leave_conversation",
        Some("left_conversation"),
        "From now on this connection gets them no longer.",
        leave,
    );
    let send = with_action::<SendMessage>(frame, "send_message");
    action(
        "send_message",
        Some("new_message"),
        "Stores a message and tells the others. A repeat with the same `clientMessageId` stores nothing.",
        send,
    );
    let edit = with_action::<EditMessage>(frame, "edit_message");
    action(
        "edit_message",
        Some("message_changed"),
        "The sender edits a message. With `ifChange`, only if nobody has changed it meanwhile, so that \
            the frame can be repeated.",
        edit,
    );
    let delete = with_action::<DeleteMessage>(frame, "delete_message");
    action(
        "delete_message",
        Some("message_changed"),
        "The sender or an owner of the group deletes a message. It keeps its place, with an empty content.",
        delete,
    );
    let add = with_action::<ChangeReaction>(frame, "add_reaction");
    action("add_reaction", Some("message_changed"), "The user reacts to a message.", add);
    let remove = with_action::<ChangeReaction>(frame, "remove_reaction");
    action("remove_reaction", Some("message_changed"), "The user removes a reaction.", remove);
    let read = with_action::<MarkRead>(frame, "mark_read");
    action("mark_read", Some("messages_read"), "The messages are read, up to a place or all of them.", read);
    let start = with_action::<Typing>(frame, "typing_start");
    action("typing_start", None, "The user is typing. Not answered, unless with an error.", start);
    let stop = with_action::<Typing>(frame, "typing_stop");
    action("typing_stop", None, "The user has stopped typing.", stop);
    let ping = with_action::<Ping>(frame, "ping");
    action("ping", Some("pong"), "This connection is alive. Clients send one every 4 minutes.", ping);
    operations.extend(replies);

    // What the service says.
    schemas.of_answer::<Answer>();
    let error = schemas.of_answer::<ErrorFrame>();
    let id = schemas.of_answer::<FrameId>();
    let mut definitions = schemas.into_definitions();
    let mut events = definitions.remove("Answer").expect("it was just asked for");
    let mut events: Vec<_> = events["oneOf"].as_array_mut().map(std::mem::take).unwrap_or_default();
    for (name, summary) in EVENTS {
        let at = events.iter().position(|event| event["properties"]["type"]["const"] == name);
        let mut payload = events.remove(at.expect("every event has a name"));
        payload["properties"]["id"] = id.clone();
        messages.insert(name.to_owned(), json!({ "name": name, "summary": summary, "payload": payload }));
    }
    assert!(events.is_empty(), "every event is told about");
    messages.insert(
        "error".to_owned(),
        json!({ "name": "error", "summary": "What was asked was not done; `code` says why.",
            "payload": error }),
    );
    messages.insert(
        "gateway".to_owned(),
        json!({
            "name": "gateway",
            "summary": "The gateway's own: it could not get the frame handled.",
            "payload": {
                "type": "object",
                "properties": {
                    "message": { "type": "string" },
                    "connectionId": { "type": "string" },
                    "requestId": { "type": "string" },
                },
                "required": ["message", "connectionId", "requestId"],
                "additionalProperties": false,
            },
        }),
    );
    let exchanged = examples::all();
    for (name, message) in &mut messages {
        examples::add_frame(message, name, &exchanged);
    }
    let said: Vec<_> =
        EVENTS.iter().map(|(name, _)| *name).chain(["error", "gateway"]).map(message_ref).collect();
    operations.insert(
        "tell".to_owned(),
        json!({
            "action": "send",
            "channel": { "$ref": "#/channels/connection" },
            "summary": "What clients are told, as an answer or unasked.",
            "messages": said,
        }),
    );
    let in_channel: Map<_, _> = messages
        .keys()
        .map(|name| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") })))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": info(
            "Switchboard's WebSocket protocol",
            "Text frames, one JSON object each. A client may put an `id` on any frame; every frame with an \
                effect is answered by exactly one frame that carries it: the event that it caused, or an \
                error. Unknown fields are ignored.",
        ),
        "servers": {
            "local": {
                "host": "localhost:8700",
                "protocol": "ws",
                "pathname": "/v1",
                "description": "cargo dev",
                "security": [{ "$ref": "#/components/securitySchemes/token" }],
            },
        },
        "channels": {
            "connection": {
                "address": "/",
                "summary": "One connection of one user.",
                "messages": in_channel,
                "bindings": {
                    "ws": { "method": "GET", "query": { "type": "object", "properties": { "token": {
                        "type": "string" } } } },
                },
            },
        },
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": definitions,
            "securitySchemes": {
                "token": {
                    "type": "httpApiKey",
                    "name": "token",
                    "in": "query",
                    "description": "A JSON Web Token; the header `Authorization: Bearer` does as well.",
                },
            },
        },
    })
}

fn message_ref(name: &str) -> Value {
    json!({ "$ref": format!("#/channels/connection/messages/{name}") })
}

/// The schema of a frame with its action and its id, which every frame has.
fn with_action<T: JsonSchema>(schemas: &mut Schemas, action: &str) -> Value {
    let id = schemas.of_request::<FrameId>();
    let mut schema = schemas.whole_request::<T>();
    let properties = schema["properties"].as_object_mut().map(std::mem::take).unwrap_or_default();
    let mut all = Map::from_iter([("action".to_owned(), json!({ "const": action })), ("id".to_owned(), id)]);
    all.extend(properties.into_iter().filter(|(name, _)| name != "action"));
    schema["properties"] = all.into();
    let required = schema["required"].as_array().cloned().unwrap_or_default().into_iter();
    let required = required.filter(|name| name != "action");
    schema["required"] = [json!("action")].into_iter().chain(required).collect();
    schema["type"] = "object".into();
    schema
}

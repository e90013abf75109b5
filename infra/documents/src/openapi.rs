//! The HTTP API as an OpenAPI 3.1 document.

use protocol::ErrorBody;
use protocol::rest::{ConversationPage, FindOrCreateConversation, FoundConversation, MessagePage};
use serde_json::{Value, json};

use crate::{Schemas, info};

/// The document.
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let error = schemas.of_answer::<ErrorBody>();
    let own = json!({
        "description": "The gateway's own: it could not get the request handled.",
        "type": "object",
        "properties": { "message": { "type": "string" } },
        "required": ["message"],
        "additionalProperties": false,
    });
    let anybodys = json!({ "anyOf": [error, own] });
    let refusals = |statuses: &[&str]| {
        let known = [
            ("400", "A parameter or the body breaks a rule; the message names it and says why."),
            ("401", "There is no valid token."),
            ("403", "The caller takes no part in that conversation, or it does not exist: no telling which."),
            ("404", "There is no such user."),
            ("429", "Too many requests."),
            ("500", "A mistake of the service."),
            ("503", "Something that the service needs is down; the same request may succeed later."),
        ];
        let refusal = |status, description| {
            let schema = if matches!(status, "429" | "500" | "503") { &anybodys } else { &error };
            json!({ "description": description, "content": content(schema) })
        };
        known
            .into_iter()
            .filter(|(status, _)| statuses.contains(status))
            .map(|(status, description)| (status.to_owned(), refusal(status, description)))
            .collect::<serde_json::Map<_, _>>()
    };
    let respond = |answers: Value, statuses: &[&str]| {
        let mut all = refusals(statuses);
        all.extend(answers.as_object().cloned().unwrap_or_default());
        Value::Object(all)
    };
    const ALWAYS: [&str; 4] = ["401", "429", "500", "503"];

    let list_conversations = json!({
        "operationId": "listConversations",
        "summary": "The caller's conversations, the one with the latest activity first",
        "parameters": [
            limit(),
            {
                "name": "cursor",
                "in": "query",
                "description": "The `nextCursor` of the page before.",
                "schema": { "type": "string" },
            },
        ],
        "responses": respond(
            json!({ "200": { "description": "One page of them.",
                "content": content(&schemas.of_answer::<ConversationPage>()) } }),
            &[&ALWAYS[..], &["400"]].concat(),
        ),
    });
    let list_messages = json!({
        "operationId": "listMessages",
        "summary": "The messages of a conversation, oldest first",
        "description": "Without `before` and `after`: the newest. Marks the other side's messages as read, \
            and tells both sides if any were not.",
        "parameters": [
            {
                "name": "conversationId",
                "in": "path",
                "required": true,
                "schema": { "type": "string", "format": "uuid" },
            },
            limit(),
            {
                "name": "before",
                "in": "query",
                "description": "The id of a message: those just older than it. Not together with `after`.",
                "schema": { "type": "string", "format": "uuid" },
            },
            {
                "name": "after",
                "in": "query",
                "description": "The id of a message: those just newer than it.",
                "schema": { "type": "string", "format": "uuid" },
            },
        ],
        "responses": respond(
            json!({ "200": { "description": "One page of them.",
                "content": content(&schemas.of_answer::<MessagePage>()) } }),
            &[&ALWAYS[..], &["400", "403"]].concat(),
        ),
    });
    let found = content(&schemas.of_answer::<FoundConversation>());
    let find_or_create = json!({
        "operationId": "findOrCreateConversation",
        "summary": "The one conversation with another user",
        "description": "Safe when both sides ask at once. Stores the profile that the token tells.",
        "requestBody": {
            "required": true,
            "content": content(&schemas.of_request::<FindOrCreateConversation>()),
        },
        "responses": respond(
            json!({
                "200": { "description": "It was there.", "content": found },
                "201": { "description": "It was made.", "content": found },
            }),
            &[&ALWAYS[..], &["400", "404"]].concat(),
        ),
    });
    json!({
        "openapi": "3.1.0",
        "info": info(
            "Switchboard's HTTP API",
            "Conversations and their history. What happens meanwhile is told over the WebSocket; see \
                asyncapi.json.",
        ),
        "servers": [{ "url": "http://localhost:8700", "description": "cargo dev" }],
        "security": [{ "token": [] }],
        "paths": {
            "/api/conversations": { "get": list_conversations },
            "/api/conversations/find-or-create": { "post": find_or_create },
            "/api/conversations/{conversationId}/messages": { "get": list_messages },
        },
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "`sub` is the user; `exp` is required.",
                },
            },
            "schemas": schemas.into_definitions(),
        },
    })
}

fn limit() -> Value {
    json!({
        "name": "limit",
        "in": "query",
        "description": "How many at most.",
        "schema": { "type": "integer", "minimum": 1, "maximum": 100, "default": 50 },
    })
}

fn content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

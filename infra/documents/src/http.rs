//! What both OpenAPI documents are made of.

use protocol::ErrorBody;
use serde_json::{Map, Value, json};

use crate::Schemas;

/// Answers, and the refusals that are the same on many routes.
pub(crate) struct Answers<'a> {
    error: Value,
    anybodys: Value,
    known: &'a [(&'a str, &'a str)],
}

impl<'a> Answers<'a> {
    /// `known` says what the status of each refusal means.
    pub(crate) fn new(schemas: &mut Schemas, known: &'a [(&'a str, &'a str)]) -> Self {
        let error = schemas.of_answer::<ErrorBody>();
        let own = json!({
            "description": "The gateway's own: it could not get the request handled.",
            "type": "object",
            "properties": { "message": { "type": "string" } },
            "required": ["message"],
            "additionalProperties": false,
        });
        let anybodys = json!({ "anyOf": [error, own] });
        Self { error, anybodys, known }
    }

    /// The answers of a route, with the refusals of these statuses.
    pub(crate) fn with_refusals(&self, answers: Value, statuses: &[&str]) -> Value {
        let refusals = self.known.iter().filter(|(status, _)| statuses.contains(status));
        let mut all: Map<_, _> = refusals
            .map(|(status, description)| {
                let own = matches!(*status, "429" | "500" | "503");
                let schema = if own { &self.anybodys } else { &self.error };
                let refusal = json!({ "description": description, "content": content(schema) });
                ((*status).to_owned(), refusal)
            })
            .collect();
        all.extend(answers.as_object().cloned().unwrap_or_default());
        Value::Object(all)
    }
}

pub(crate) fn cursor() -> Value {
    json!({
        "name": "cursor",
        "in": "query",
        "description": "The `nextCursor` of the page before.",
        "schema": { "type": "string" },
    })
}

pub(crate) fn conversation_id() -> Value {
    json!({
        "name": "conversationId",
        "in": "path",
        "required": true,
        "schema": { "type": "string", "format": "uuid" },
    })
}

pub(crate) fn place() -> Value {
    json!({ "anyOf": [{ "type": "string", "format": "uuid" }, { "type": "integer", "minimum": 0 }] })
}

pub(crate) fn limit() -> Value {
    json!({
        "name": "limit",
        "in": "query",
        "description": "How many at most.",
        "schema": { "type": "integer", "minimum": 1, "maximum": 100, "default": 50 },
    })
}

pub(crate) fn content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

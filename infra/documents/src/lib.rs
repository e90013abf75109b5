//! The documents of the APIs, made from the types that the functions use: OpenAPI for HTTP, one for clients
//! and one for backends, and AsyncAPI for the WebSocket. What is in them that no type says (paths, statuses,
//! who is told what) is written here.

mod asyncapi;
mod errors;
mod examples;
mod http;
mod openapi;
mod service;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

pub use asyncapi::document as asyncapi;
pub use errors::document as errors;
pub use openapi::document as openapi;
pub use service::document as service;

/// Every document by the name of its file.
pub fn all() -> [(&'static str, String); 4] {
    [
        ("openapi.json", text(&openapi())),
        ("asyncapi.json", text(&asyncapi())),
        ("service.json", text(&service())),
        ("errors.json", text(&errors())),
    ]
}

fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

/// What every document says of itself.
fn info(title: &str, description: &str) -> Value {
    json!({
        "title": title,
        "version": env!("CARGO_PKG_VERSION"),
        "description": description,
        "license": { "name": "MIT OR Apache-2.0" },
    })
}

/// Collects the schemas that a document refers to. What is optional for who reads is not for who writes, so
/// there are two kinds.
struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let generator = |settings: SchemaSettings| {
            let settings = settings.with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            });
            settings.into_generator()
        };
        Self {
            requests: generator(SchemaSettings::draft2020_12().for_deserialize()),
            answers: generator(SchemaSettings::draft2020_12().for_serialize()),
        }
    }

    /// A reference to the schema of `T`, which clients send.
    fn of_request<T: JsonSchema>(&mut self) -> Value {
        self.requests.subschema_for::<T>().to_value()
    }

    /// The schema of `T` itself, which clients send.
    fn whole_request<T: JsonSchema>(&mut self) -> Value {
        T::json_schema(&mut self.requests).to_value()
    }

    /// A reference to the schema of `T`, which the service sends.
    fn of_answer<T: JsonSchema>(&mut self) -> Value {
        self.answers.subschema_for::<T>().to_value()
    }

    fn into_definitions(mut self) -> Map<String, Value> {
        let mut all = self.requests.take_definitions(true);
        for (name, schema) in self.answers.take_definitions(true) {
            let before = all.insert(name.clone(), schema.clone());
            assert!(before.is_none_or(|before| before == schema), "{name} is both a request and an answer");
        }
        all
    }
}

//! The examples in the documents: what `tests/it/examples.rs` has exchanged with the service.

use serde_json::{Value, json};

/// All of them, by where they belong.
pub(crate) fn all() -> Value {
    serde_json::from_str(include_str!("../examples.json")).expect("a test has written it")
}

/// Adds the example of a frame to its message, and what answered it.
pub(crate) fn add_frame(message: &mut Value, name: &str, examples: &Value) {
    message["examples"] = json!([{ "payload": examples["frames"][name] }]);
    // AsyncAPI has no place for the answer to an example.
    if let Some(answers) = examples["answers"].get(name) {
        message["x-answers"] = answers.clone();
    }
}

/// Adds to each operation what was sent and answered.
pub(crate) fn add_requests(document: &mut Value, examples: &Value) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, methods) in paths {
        for operation in methods.as_object_mut().into_iter().flat_map(|methods| methods.values_mut()) {
            let id = operation["operationId"].as_str().expect("every operation has an id");
            let example = &examples[id];
            assert!(example.is_object(), "{id} has no example");
            add_request(path, operation, example);
        }
    }
}

fn add_request(path: &str, operation: &mut Value, example: &Value) {
    if let Some(body) = example.get("body") {
        operation["requestBody"]["content"]["application/json"]["example"] = body.clone();
    }
    if let Some(answer) = example.get("answer") {
        let status = example["status"].to_string();
        operation["responses"][status]["content"]["application/json"]["example"] = answer.clone();
    }
    let refused = example["error"]["status"].to_string();
    let refusal = &mut operation["responses"][refused.as_str()];
    assert!(refusal.is_object(), "{path} is refused with {refused}, which is not in the document");
    refusal["content"]["application/json"]["example"] = example["error"]["answer"].clone();
    let asked = example["path"].as_str().unwrap_or_default();
    let (asked_path, query) = asked.split_once('?').unwrap_or((asked, ""));
    let in_path = path.split('/').zip(asked_path.split('/'));
    let in_path =
        in_path.filter_map(|(name, value)| Some((name.strip_prefix('{')?.strip_suffix('}')?, value)));
    let in_query = query.split('&').filter_map(|pair| pair.split_once('='));
    for (name, value) in in_path.chain(in_query) {
        let parameters = operation["parameters"].as_array_mut().into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["name"] == name) {
            // Numbers and booleans are such in the example too.
            parameter["example"] = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        }
    }
}

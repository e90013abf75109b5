//! Functions that are invoked by hand, with the events in `tests/events`.

use std::collections::BTreeMap;
use std::path::Path;

use harness::Stack;
use serde_json::Value;

use crate::people::User;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The placeholder of tokens in these files, since tokens expire.
const PLACEHOLDER: &str = "a token: cargo dev token alice";

fn event(function: &str, token: &str) -> Value {
    let path = Path::new(ROOT).join("tests/events").join(format!("{function}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text.replace(PLACEHOLDER, token)).unwrap()
}

/// The result of a function in one word: the error, the status, or the type of the frame.
async fn outcome(stack: &Stack, function: &str, token: &str) -> String {
    let url = stack.invocations(function);
    let answer =
        reqwest::Client::new().post(url).body(event(function, token).to_string()).send().await.unwrap();
    let failed = answer.headers().contains_key("x-amz-function-error");
    let answer: Value = answer.json().await.unwrap();
    if failed {
        return answer["errorMessage"].as_str().unwrap().to_owned();
    }
    let body = answer["body"].as_str().and_then(|body| serde_json::from_str::<Value>(body).ok());
    let word = body.and_then(|body| {
        let code = body["error"]["code"].as_str();
        code.or(body["type"].as_str()).map(str::to_owned)
    });
    let status = answer["statusCode"].as_u64().map(|status| status.to_string());
    let effect = answer["policyDocument"]["Statement"][0]["Effect"].as_str().map(str::to_owned);
    word.or(status).or(effect).unwrap_or_else(|| "done".to_owned())
}

#[tokio::test]
async fn every_function_has_an_event_that_it_understands() {
    let (stack, _database) = Stack::own(&[]).await;
    let stack = std::sync::Arc::new(stack);
    let token = User::of(&stack, "Alice").token();
    // In this order: a ping needs a connection, and comes before the disconnect.
    let expected = [
        ("migrate", "done"),
        ("connect", "200"),
        ("ping", "pong"),
        ("join_conversation", "forbidden"),
        ("leave_conversation", "left_conversation"),
        ("send_message", "forbidden"),
        ("change_message", "forbidden"),
        ("mark_read", "forbidden"),
        ("typing", "200"),
        ("unknown_action", "invalid_request"),
        ("disconnect", "200"),
        ("sweep_connections", "done"),
        ("deliver_events", "done"),
        ("apply_retention", "done"),
        ("authorize", "Allow"),
        ("find_or_create_conversation", "not_found"),
        ("list_conversations", "200"),
        ("list_messages", "forbidden"),
        ("manage_conversations", "201"),
        // Closed, whatever the token.
        ("service_api", "forbidden"),
    ];
    for (function, word) in expected {
        assert_eq!(outcome(&stack, function, &token).await, word, "{function}");
    }
    assert_eq!(outcome(&stack, "authorize", PLACEHOLDER).await, "Unauthorized");
    let expected: BTreeMap<_, _> = expected.into();
    for entry in std::fs::read_dir(Path::new(ROOT).join("functions")).unwrap() {
        let function = entry.unwrap().file_name().into_string().unwrap();
        assert!(expected.contains_key(function.as_str()), "{function} has no event");
    }
}

//! HTTP requests: token, path, query and body. API Gateway makes the rest of the event.
#![no_main]

use std::sync::LazyLock;

use domain::{ActivityCursor, ConversationId, MessageId};
use edge::http::{json_body, limit, path, query};
use edge::token::bearer;
use libfuzzer_sys::fuzz_target;
use protocol::rest::FindOrCreateConversation;
use protocol::service::{MakeConversation, SendMessage, SetUser};
use serde_json::Value;

static EVENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../events/list_messages.json")).expect("an event is JSON")
});

fuzz_target!(|said: &str| {
    // The first three are of one line each.
    let mut said = said.splitn(4, '\n');
    let [token, id, parameters, body] = [(); 4].map(|()| said.next().unwrap_or_default());
    let raw_path = format!("/api/conversations/{id}/messages");
    // No other characters get past the parser of HTTP.
    if format!("{raw_path}?{parameters}").parse::<lambda_http::http::Uri>().is_err() {
        return;
    }
    let mut event = EVENT.clone();
    event["headers"]["authorization"] = token.into();
    event["pathParameters"]["conversationId"] = id.into();
    event["rawPath"] = raw_path.into();
    event["rawQueryString"] = parameters.into();
    event["body"] = body.into();
    let Ok(request) = lambda_http::request::from_str(&event.to_string()) else { return };
    let _ = bearer(request.headers().get("authorization").and_then(|value| value.to_str().ok()));
    if let Ok(limit) = limit(&request) {
        assert!((1..=100).contains(&limit));
    }
    let _ = path::<ConversationId>(&request, "conversationId");
    let _ = query::<MessageId>(&request, "before");
    let _ = query::<ActivityCursor>(&request, "cursor");
    let _ = json_body::<FindOrCreateConversation>(&request);
    let _ = json_body::<SetUser>(&request);
    let _ = json_body::<MakeConversation>(&request);
    let _ = json_body::<SendMessage>(&request);
});

//! Two people find their conversation.

use harness::Stack;
use serde_json::{Value, json};

use crate::people::User;

#[tokio::test]
async fn both_sides_ask_at_once_and_get_the_same_conversation() {
    let stack = Stack::shared();
    for _ in 0..10 {
        let (alice, bob) = (User::of(&stack, "Alice"), User::of(&stack, "Bob"));
        tokio::join!(alice.connects(), bob.connects());
        let ((alices_status, alices), (bobs_status, bobs)) =
            tokio::join!(alice.asks_for_conversation_with(&bob), bob.asks_for_conversation_with(&alice));
        assert_eq!(alices, bobs);
        let mut statuses = [alices_status, bobs_status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201], "one of them made it, the other found it");
        assert_eq!(alice.asks_for_conversation_with(&bob).await, (200, alices), "and it stays the same");
    }
}

#[tokio::test]
async fn a_user_may_ask_before_ever_connecting() {
    let stack = Stack::shared();
    let (alice, bob) = (User::of(&stack, "Alice"), User::of(&stack, "Bob"));
    bob.connects().await;
    assert_eq!(alice.asks_for_conversation_with(&bob).await.0, 201);
}

#[tokio::test]
async fn what_cannot_be_a_conversation_is_refused() {
    let stack = Stack::shared();
    let (alice, stranger) = (User::of(&stack, "Alice"), User::of(&stack, "Stranger"));
    let refused = async |body: Value| {
        let answer = alice.posts("/api/conversations/find-or-create", &body).await;
        let status = answer.status().as_u16();
        let body: protocol::ErrorBody = answer.json().await.unwrap();
        (status, serde_json::to_value(body.error.code).unwrap(), body.error.message)
    };
    let says = |status: u16, code: &str, message: &str| (status, json!(code), message.to_owned());
    assert_eq!(
        refused(json!({ "otherUserId": alice.id })).await,
        says(400, "invalid_request", "otherUserId: must be another user")
    );
    assert_eq!(
        refused(json!({ "otherUserId": stranger.id })).await,
        says(404, "not_found", "otherUserId: there is no such user")
    );
    assert_eq!(
        refused(json!({ "otherUserId": "" })).await,
        says(400, "invalid_request", "otherUserId: must not be empty")
    );
    assert_eq!(refused(json!({})).await, says(400, "invalid_request", "missing field `otherUserId`"));
    assert_eq!(refused(json!([])).await, says(400, "invalid_request", "the body must be a JSON object"));
}

#[tokio::test]
async fn without_a_token_nobody_is_answered() {
    let stack = Stack::shared();
    let url = stack.http("/api/conversations/find-or-create");
    let client = reqwest::Client::new();
    for request in [
        client.post(&url),
        client.post(&url).bearer_auth("nonsense"),
        client.post(&url).basic_auth("a", Some("b")),
    ] {
        let answer = request.json(&json!({ "otherUserId": "bob" })).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], "unauthenticated");
    }
}

#[tokio::test]
async fn what_no_route_serves_is_the_gateways_own_404() {
    let answer = reqwest::get(Stack::shared().http("/api/nothing")).await.unwrap();
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.text().await.unwrap(), r#"{"message":"Not Found"}"#);
}

#[tokio::test]
async fn a_browser_on_another_site_may_ask() {
    let url = Stack::shared().http("/api/conversations/find-or-create");
    let preflight = reqwest::Client::new()
        .request(reqwest::Method::OPTIONS, url)
        .header("origin", "https://example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert!(preflight.headers()["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
}

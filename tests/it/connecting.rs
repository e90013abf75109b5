//! Connections: who may open one, and how long it lasts.

use harness::{Stack, connect, eventually, seconds_from_now};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use protocol::Code;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::people::{Client, Frame, Pair, User, pair};

#[tokio::test]
async fn a_token_opens_a_connection_from_the_query_string_or_a_header() {
    let stack = Stack::shared();
    let alice = User::of(&stack, "Alice");
    alice.connects().await.closes().await;

    let mut request = format!("ws://127.0.0.1:{}/v1", stack.port).into_client_request().unwrap();
    request.headers_mut().insert("Authorization", format!("Bearer {}", alice.token()).parse().unwrap());
    Client::open(request).await.unwrap().closes().await;
}

#[tokio::test]
async fn without_a_valid_token_the_handshake_is_refused() {
    let stack = Stack::shared();
    let alice = User::of(&stack, "Alice");
    let refused =
        async |token: &str| Client::connect(&stack, token).await.expect_err("nobody vouches for this token");
    let without = |claim: &str| {
        let mut claims = alice.claims();
        claims.as_object_mut().unwrap().remove(claim);
        alice.token_with(&claims)
    };
    let with = |claim: &str, value: Value| {
        let mut claims = alice.claims();
        claims[claim] = value;
        alice.token_with(&claims)
    };

    let bare = format!("ws://127.0.0.1:{}/v1", stack.port);
    assert_eq!(Client::open(bare).await.expect_err("there is no token"), 401);
    for (why, token) in [
        ("empty", String::new()),
        ("no token at all", "nonsense".to_owned()),
        ("expired", with("exp", json!(seconds_from_now(-31)))),
        ("not yet valid", with("nbf", json!(seconds_from_now(60)))),
        ("without expiry", without("exp")),
        ("without a user", without("sub")),
        ("with an empty user", with("sub", json!(""))),
        ("with a user that is too long", with("sub", json!("x".repeat(129)))),
        ("with a name that is too long", with("name", json!("x".repeat(1000)))),
        ("signed with another secret", signed(&alice, Algorithm::HS256, &"x".repeat(64))),
        ("signed with another algorithm", signed(&alice, Algorithm::HS512, &stack.secret)),
        ("unsigned", unsigned(&alice, "none")),
        ("unsigned, in capitals", unsigned(&alice, "None")),
        ("that says it is signed with a key pair", relabelled(&alice, "RS256")),
    ] {
        assert_eq!(refused(&token).await, 401, "a token that is {why}");
    }
}

#[tokio::test]
async fn clocks_may_differ_a_little_but_a_token_that_has_expired_ends_the_connection() {
    let stack = Stack::shared();
    let Pair { alice, conversation, .. } = pair(&stack).await;
    let mut claims = alice.claims();
    claims["exp"] = seconds_from_now(-10).into();
    let mut phone = Client::connect(&stack, &alice.token_with(&claims)).await.expect("30 s of leeway");

    let send = json!({ "action": "send_message", "conversationId": conversation, "content": "too late" });
    assert_eq!(phone.is_refused(send).await.0, Code::TokenExpired);
    assert_eq!(phone.is_closed().await, CloseCode::Normal);

    let database = connect(stack.postgres_url()).await;
    let stored = database
        .query("select from messages where conversation_id::text = $1", &[&conversation])
        .await
        .unwrap();
    assert!(stored.is_empty(), "the frame did nothing");
}

#[tokio::test]
async fn a_profile_is_kept_and_changes_with_the_token() {
    let stack = Stack::shared();
    let Pair { alice, mut bob_phone, conversation, .. } = pair(&stack).await;
    bob_phone.joins(&conversation).await;

    let mut claims = alice.claims();
    claims["preferred_username"] = "Al".into();
    claims.as_object_mut().unwrap().remove("picture");
    let mut phone = Client::connect(&stack, &alice.token_with(&claims)).await.unwrap();
    phone.says(&conversation, "call me Al").await;
    let sender = bob_phone.receives_message().await.sender;
    assert_eq!(sender.display_name.as_deref(), Some("Al"), "preferred_username comes before nickname");
    assert_eq!(sender.name.as_deref(), Some("Alice Example"));
    assert!(sender.avatar_url.is_some(), "an absent claim keeps what is stored");
}

#[tokio::test]
async fn the_oldest_of_too_many_connections_is_closed() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone: mut oldest, mut bob_phone, conversation, .. } = pair(&stack).await;
    oldest.joins(&conversation).await;
    let mut others = Vec::new();
    for _ in 1..20 {
        others.push(alice.connects().await);
    }
    assert!(oldest.has_received().await.is_empty(), "20 are not too many");
    let mut newest = alice.connects().await;
    let Frame::Error(why) = oldest.receives_where(|frame| matches!(frame, Frame::Error(_))).await else {
        unreachable!()
    };
    assert_eq!((why.id, why.error.code), (None, Code::RateLimited), "it is told why");
    assert!(why.error.retry_after_ms >= Some(60_000), "and not to come back at once");
    assert_eq!(oldest.is_closed().await, CloseCode::Normal);
    newest.joins(&conversation).await;
    let sent = bob_phone.says(&conversation, "who is there?").await;
    assert_eq!(newest.receives_message().await, sent);
}

#[tokio::test]
async fn how_many_connections_are_too_many_can_be_set() {
    let (stack, _database) = Stack::own_with(&[("MAX_CONNECTIONS_PER_USER", "1")]).await;
    let alice = User::of(&stack, "Alice");
    let mut first = alice.connects().await;
    let mut second = alice.connects().await;
    assert_eq!(first.is_closed().await, CloseCode::Normal);
    second.asks(json!({ "action": "ping" })).await;
}

#[tokio::test]
async fn nothing_in_a_frame_names_the_sender() {
    let stack = Stack::shared();
    let Pair { alice, alice_phone: mut phone, bob, conversation, .. } = pair(&stack).await;
    let forged =
        json!({ "conversationId": conversation, "content": "hi", "senderId": bob.id, "userId": bob.id });
    assert_eq!(phone.sends_message(forged).await.sender_id.as_str(), alice.id);
}

#[tokio::test]
async fn a_user_is_online_while_a_connection_is_open() {
    let stack = Stack::shared();
    let Pair { alice, mut alice_phone, bob, bob_phone, conversation } = pair(&stack).await;
    let online = async |phone: &mut Client| phone.joins(&conversation).await.online_user_ids;
    assert_eq!(online(&mut alice_phone).await.len(), 2);
    bob_phone.closes().await;
    let alice_phone = tokio::sync::Mutex::new(alice_phone);
    eventually("Bob is offline", async || online(&mut *alice_phone.lock().await).await == [alice.id.clone()])
        .await;
    let _bob_laptop = bob.connects().await;
    assert_eq!(online(&mut *alice_phone.lock().await).await.len(), 2);
}

#[tokio::test]
async fn plain_http_is_told_to_upgrade() {
    let answer = reqwest::get(Stack::shared().http("/v1")).await.unwrap();
    assert_eq!(answer.status(), 426);
}

#[tokio::test]
async fn a_secret_is_rotated_without_refusing_anybody() {
    let [new, old, other] = ["new", "old", "other"].map(|name| name.repeat(16));
    let secrets = json!([new, old]).to_string();
    let (stack, _database) = Stack::own_with(&[("JWT_SECRET", &secrets)]).await;
    let alice = User::of(&stack, "Alice");
    for secret in [&new, &old] {
        Client::connect(&stack, &signed(&alice, Algorithm::HS256, secret)).await.expect("both are good");
    }
    for secret in [&other, &secrets] {
        let token = signed(&alice, Algorithm::HS256, secret);
        assert_eq!(Client::connect(&stack, &token).await.unwrap_err(), 401);
    }
    // The local gateway signs with the first secret, also for a page at another port.
    let asks = async |origin: &str| {
        let request =
            reqwest::Client::new().get(stack.http("/dev/token?user=alice")).header("origin", origin);
        request.send().await.unwrap()
    };
    let answer = asks("http://localhost:5173").await;
    assert_eq!(answer.headers()["access-control-allow-origin"], "http://localhost:5173");
    assert!(!asks("https://example.com").await.headers().contains_key("access-control-allow-origin"));
    let answer: Value = answer.json().await.unwrap();
    let token = answer["token"].as_str().unwrap();
    let key = jsonwebtoken::DecodingKey::from_secret(new.as_bytes());
    let claims = jsonwebtoken::decode::<Value>(token, &key, &jsonwebtoken::Validation::default()).unwrap();
    assert_eq!(claims.claims["sub"], "alice");
}

#[tokio::test]
async fn what_a_token_should_not_say_is_refused() {
    let stack = Stack::shared();
    let alice = User::of(&stack, "Alice");
    let status = async |token: &str| match Client::connect(&stack, token).await {
        Ok(client) => {
            client.closes().await;
            101
        }
        Err(status) => status,
    };
    let headed = |header: &Value| {
        let payload = base64url(&alice.claims().to_string());
        let message = format!("{}.{payload}", base64url(&header.to_string()));
        let key = EncodingKey::from_secret(stack.secret.as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    for harmless in [
        json!({ "alg": "HS256" }),
        json!({ "alg": "HS256", "typ": "at+jwt", "kid": "unknown", "more": { "deep": [1] } }),
        json!({ "alg": "HS256", "jku": "https://evil.example/keys" }),
    ] {
        assert_eq!(status(&headed(&harmless)).await, 101, "{harmless}");
    }
    for critical in [json!(["exp"]), json!(["b64"]), json!([]), json!("exp"), json!(5), Value::Null] {
        let header = json!({ "alg": "HS256", "crit": critical, "exp": 1, "b64": true });
        assert_eq!(status(&headed(&header)).await, 401, "{header}");
    }
    for (claim, value) in [
        ("iss", json!(["https://one.example", "https://two.example"])),
        ("iss", json!(5)),
        ("sub", json!([alice.id])),
        ("exp", json!(seconds_from_now(60).to_string())),
        ("nbf", json!("0")),
        ("iat", json!("yesterday")),
        ("iat", Value::Null),
        ("iss", Value::Null),
        ("name", json!(["Alice"])),
    ] {
        let mut claims = alice.claims();
        claims[claim] = value.clone();
        assert_eq!(status(&alice.token_with(&claims)).await, 401, "{claim}: {value}");
    }
}

#[tokio::test]
async fn a_401_says_how_to_authenticate() {
    let stack = Stack::shared();
    let alice = User::of(&stack, "Alice");
    let challenge = async |authorization: Option<&str>| {
        let mut request = reqwest::Client::new().get(stack.http("/api/conversations"));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 401);
        answer.headers()["www-authenticate"].to_str().unwrap().to_owned()
    };
    assert_eq!(challenge(None).await, "Bearer");
    assert_eq!(challenge(Some("Basic YTpi")).await, "Bearer");
    assert_eq!(challenge(Some("Bearer nonsense")).await, r#"Bearer error="invalid_token""#);
    let mut claims = alice.claims();
    claims["exp"] = seconds_from_now(-60).into();
    let expired = format!("Bearer {}", alice.token_with(&claims));
    assert_eq!(challenge(Some(&expired)).await, r#"Bearer error="invalid_token""#);
}

fn signed(user: &User, algorithm: Algorithm, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), &user.claims(), &key).unwrap()
}

/// A token whose header names the algorithm `none`, without a signature.
fn unsigned(user: &User, algorithm: &str) -> String {
    let token = relabelled(user, algorithm);
    token[..=token.rfind('.').unwrap()].to_owned()
}

/// A token whose header names another algorithm, signed with the secret.
fn relabelled(user: &User, algorithm: &str) -> String {
    let token = user.token();
    let payload = token.split('.').nth(1).unwrap();
    let header = base64url(&json!({ "alg": algorithm, "typ": "JWT" }).to_string());
    let message = format!("{header}.{payload}");
    let key = EncodingKey::from_secret(user.stack.secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn base64url(text: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text)
}

//! The `@connections` API, as its callers see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_apigatewaymanagement::operation::post_to_connection::PostToConnectionError;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use axum::http::StatusCode;
use harness::{Socket, Stack, eventually, eventually_within};
use serde_json::Value;
use tokio::net::TcpListener;

use super::{connection_url, id_of};

const KB: usize = 1024;

/// The official SDK, as functions use it.
fn sdk(endpoint: &str) -> Client {
    let config = aws_sdk_apigatewaymanagement::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("any", "key", None, None, "a story"))
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}

#[tokio::test]
async fn callers_learn_what_became_of_their_post() {
    let stack = Stack::gateway();
    let client = reqwest::Client::new();
    let mut socket = Socket::open(&stack, "main").await.unwrap();
    let id = id_of(&mut socket).await;
    let post = async |url: String, body: Vec<u8>| {
        let answer = client.post(url).body(body).send().await.unwrap();
        let error_type =
            answer.headers().get("x-amzn-errortype").map(|kind| kind.to_str().unwrap().to_owned());
        assert!(answer.headers().contains_key("x-amzn-requestid"));
        (answer.status().as_u16(), error_type, answer.text().await.unwrap())
    };
    assert_eq!(post(connection_url(&stack, "main", &id), "hi".into()).await, (200, None, String::new()));
    assert_eq!(socket.receives().await, "hi");

    let garbage = post(stack.http("/main/@connections/garbage"), "hi".into()).await;
    let message = r#"{"message":"Invalid connectionId: garbage"}"#.to_owned();
    assert_eq!(garbage, (400, Some("BadRequestException".to_owned()), message));
    let never = connection_url(&stack, "main", "AAAAAAAAAAAAAAA=");
    let gone = (410, Some("GoneException".to_owned()), String::new());
    assert_eq!(post(never, "hi".into()).await, gone, "well-formed, but nobody's");
    assert_eq!(post(connection_url(&stack, "open", &id), "hi".into()).await, gone, "of another API");

    let (status, error_type, body) =
        post(connection_url(&stack, "main", &id), vec![b'x'; 128 * KB + 1]).await;
    assert_eq!((status, error_type.as_deref()), (413, Some("PayloadTooLargeException")));
    assert!(serde_json::from_str::<Value>(&body).unwrap()["message"].is_string());
    let (status, ..) = post(connection_url(&stack, "main", &id), vec![0xff]).await;
    assert_eq!(status, 400, "text frames hold text only");
    let (status, error_type, _) = post(connection_url(&stack, "nowhere", &id), "hi".into()).await;
    assert_eq!((status, error_type.as_deref()), (403, Some("ForbiddenException")));

    assert_eq!(post(connection_url(&stack, "main", &id), vec![b'x'; 128 * KB]).await.0, 200);
    assert_eq!(socket.receives().await.len(), 128 * KB, "in one message");
}

#[tokio::test]
async fn a_connection_is_there_as_soon_as_its_client_knows() {
    let stack = Stack::own_gateway(&[]);
    let mut socket = Socket::open(&stack, "main").await.unwrap();
    // Nothing was sent to the connection yet, so its id is looked up.
    let all: Value = reqwest::get(stack.http("/dev/connections")).await.unwrap().json().await.unwrap();
    let id = all["connections"][0]["connectionId"].as_str().unwrap();
    let posted = reqwest::Client::new().post(connection_url(&stack, "main", id)).body("welcome").send();
    assert_eq!(posted.await.unwrap().status(), 200);
    assert_eq!(socket.receives().await, "welcome");
}

#[tokio::test]
async fn an_id_may_be_encoded_or_not() {
    let stack = Stack::gateway();
    let mut socket = Socket::open(&stack, "main").await.unwrap();
    let id = id_of(&mut socket).await;
    let encoded = id.replace('=', "%3D");
    for path in
        [format!("@connections/{id}"), format!("@connections/{encoded}"), format!("%40connections/{encoded}")]
    {
        let answer =
            reqwest::Client::new().post(stack.http(&format!("/main/{path}"))).body(path.clone()).send();
        assert_eq!(answer.await.unwrap().status(), 200, "{path}");
        assert_eq!(socket.receives().await, path);
    }
}

#[tokio::test]
async fn a_connection_is_described() {
    let stack = Stack::gateway();
    let mut socket = Socket::open_with(&stack, "main", &[("user-agent", "a story")]).await.unwrap();
    let id = id_of(&mut socket).await;
    let described = sdk(&stack.http("/main")).get_connection().connection_id(&id).send().await.unwrap();
    let identity = described.identity().unwrap();
    assert_eq!((identity.source_ip(), identity.user_agent()), (Some("127.0.0.1"), Some("a story")));
    assert!(described.last_active_at() >= described.connected_at());
    assert!(described.connected_at().is_some());
}

#[tokio::test]
async fn the_sdk_understands_the_errors() {
    let stack = Stack::gateway();
    let sdk = sdk(&stack.http("/main"));
    let mut socket = Socket::open(&stack, "main").await.unwrap();
    let id = id_of(&mut socket).await;
    let post =
        |id: &str, size| sdk.post_to_connection().connection_id(id).data(Blob::new(vec![b'x'; size])).send();
    post(&id, 1).await.unwrap();
    assert_eq!(socket.receives().await, "x");
    let error = post(&id, 128 * KB + 1).await.unwrap_err().into_service_error();
    assert!(matches!(error, PostToConnectionError::PayloadTooLargeException(_)), "{error:?}");
    sdk.delete_connection().connection_id(&id).send().await.unwrap();
    socket.is_closed().await;
    let error = post(&id, 1).await.unwrap_err().into_service_error();
    assert!(matches!(error, PostToConnectionError::GoneException(_)), "from the header alone: {error:?}");
    let error = post("garbage", 1).await.unwrap_err().into_service_error();
    assert_eq!(error.meta().code(), Some("BadRequestException"));
}

#[tokio::test]
async fn the_sdk_tries_three_times_when_there_are_too_many() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = asked.clone();
    let too_many = axum::Router::new().fallback(async move || {
        counting.fetch_add(1, Ordering::SeqCst);
        (StatusCode::TOO_MANY_REQUESTS, [("x-amzn-errortype", "LimitExceededException")], "{}")
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/main", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, too_many).await });
    let posted = sdk(&endpoint).post_to_connection().connection_id("x").data(Blob::new("x")).send().await;
    let error = posted.unwrap_err().into_service_error();
    assert!(matches!(error, PostToConnectionError::LimitExceededException(_)), "{error:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    serving.abort();
}

#[tokio::test]
async fn a_client_that_does_not_read_harms_nobody_else() {
    let stack = Stack::own_gateway(&[]);
    let mut stuck = Socket::open(&stack, "main").await.unwrap();
    let mut lively = Socket::open(&stack, "main").await.unwrap();
    let (stuck_id, lively_id) = (id_of(&mut stuck).await, id_of(&mut lively).await);
    let client = reqwest::Client::new();
    let post = async |id: &str, body: String| {
        client.post(connection_url(&stack, "main", id)).body(body).send().await.unwrap().status()
    };
    // The sockets' own buffers take some megabytes before the gateway's is full, and now and then a little
    // more.
    let sdk = sdk(&stack.http("/main"));
    let mut taken = 0;
    let error = loop {
        while post(&stuck_id, "x".repeat(100 * KB)).await == StatusCode::OK {
            taken += 1;
            assert!(taken < 1000, "there is an end to what is kept for it");
        }
        let one_more =
            sdk.post_to_connection().connection_id(&stuck_id).data(Blob::new(vec![b'x'; 100 * KB]));
        match one_more.send().await {
            Ok(_) => taken += 1,
            Err(error) => break error.into_service_error(),
        }
    };
    assert!(matches!(error, PostToConnectionError::LimitExceededException(_)), "{error:?}");
    assert_eq!(post(&lively_id, "still there".to_owned()).await, StatusCode::OK);
    assert_eq!(lively.receives().await, "still there");
    let url = connection_url(&stack, "main", &stuck_id);
    let closed = async || client.get(&url).send().await.unwrap().status() == StatusCode::GONE;
    assert!(!closed().await, "nobody waited for the other");
    // At the end it is closed, although it still does not read.
    eventually_within(Duration::from_secs(60), "it is closed", closed).await;
    let ended = super::recorded(&stack, "$disconnect", &stuck_id).await;
    assert_eq!(ended["requestContext"]["disconnectStatusCode"], 1006);
    eventually("and only that one", async || post(&lively_id, "x".to_owned()).await == StatusCode::OK).await;
}

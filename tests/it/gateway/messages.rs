//! Messages: how they are routed and answered.

use harness::{Socket, Stack};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::id_of;

const KB: usize = 1024;

async fn open(stack: &Stack) -> Socket {
    Socket::open(stack, "main").await.expect("everybody may come in")
}

/// The frame that the gateway itself sends, byte for byte.
async fn is_told(socket: &mut Socket, id: &str, frame: &str, message: &str) {
    let said = socket.asks(frame).await;
    let request_id = serde_json::from_str::<Value>(&said).unwrap()["requestId"].as_str().unwrap().to_owned();
    assert_eq!(
        said,
        format!(r#"{{"message": "{message}", "connectionId":"{id}", "requestId":"{request_id}"}}"#),
        "{frame}"
    );
    assert_eq!(id_of(socket).await, id, "the connection is still open");
}

#[tokio::test]
async fn what_goes_wrong_is_told_in_a_frame_and_the_connection_stays() {
    let stack = Stack::gateway();
    let mut socket = open(&stack).await;
    let id = id_of(&mut socket).await;
    for unrouted in [r#"{"action":"nothing"}"#, r#"{"other":1}"#, "not JSON", r#"{"action":"$connect"}"#, ""]
    {
        is_told(&mut socket, &id, unrouted, "Forbidden").await;
    }
    for failing in ["crash", "panic", "exit"] {
        let frame = json!({ "action": failing, "status": 1 }).to_string();
        is_told(&mut socket, &id, &frame, "Internal server error").await;
    }
    is_told(&mut socket, &id, r#"{"action":"slow","ms":8000}"#, "Endpoint request timed out").await;
}

#[tokio::test]
async fn an_answer_is_sent_only_where_there_is_a_route_response() {
    let stack = Stack::gateway();
    let mut socket = open(&stack).await;
    for status in [200, 301, 401, 500] {
        let answer = json!({ "statusCode": status, "body": "what I say" });
        for route in ["oneway", "unanswered"] {
            socket.sends(json!({ "action": route, "answer": answer }).to_string()).await;
        }
        let two_way = json!({ "action": "answer", "answer": answer }).to_string();
        assert_eq!(socket.asks(two_way).await, "what I say", "whatever the status");
    }
    // Nothing of those without a response came, and nothing comes of one without a body.
    socket.sends(json!({ "action": "answer", "answer": { "statusCode": 200 } }).to_string()).await;
    let last = json!({ "action": "answer", "answer": { "body": "the last" } }).to_string();
    assert_eq!(socket.asks(last).await, "the last");
}

#[tokio::test]
async fn messages_of_one_connection_are_handled_at_the_same_time() {
    let stack = Stack::gateway();
    let mut socket = open(&stack).await;
    let slow = r#"{"action":"slow","ms":1000}"#;
    let quick = r#"{"action":"slow","ms":0}"#;
    socket.sends(slow).await;
    assert_eq!(socket.asks(quick).await, quick, "the second overtakes the first, in another process");
    assert_eq!(socket.receives().await, slow);
}

#[tokio::test]
async fn messages_beyond_the_limit_of_their_route_are_refused() {
    let stack = Stack::own_gateway(&[]);
    let mut socket = Socket::open(&stack, "throttled").await.unwrap();
    let told = socket.asks(r#"{"action":"shut"}"#).await;
    assert!(told.starts_with(r#"{"message": "Too Many Requests", "connectionId":""#), "{told}");
    socket.sends(r#"{"action":"open"}"#).await;
    assert!(
        socket.asks(r#"{"action":"shut"}"#).await.contains("Too Many Requests"),
        "and nothing of the open route"
    );
}

#[tokio::test]
async fn a_composed_expression_selects_the_route() {
    let stack = Stack::gateway();
    let mut socket = Socket::open(&stack, "guarded?token=t").await.unwrap();
    for (frame, route) in [
        (r#"{"service":"doc","action":"send_back"}"#, "doc/send_back"),
        (r#"{"service":"doc"}"#, "$default"),
        ("not JSON", "$default"),
        (r#"{"service":"$default"}"#, "$default"),
    ] {
        socket.sends(frame).await;
        assert_eq!(socket.receives_json().await["requestContext"]["routeKey"], route, "{frame}");
    }
}

#[tokio::test]
async fn a_message_has_128_kb_in_frames_of_32() {
    let stack = Stack::gateway();
    let whole = |size: usize| {
        let frame = json!({ "action": "answer", "answer": { "body": "it fits" }, "padding": "" }).to_string();
        frame.replace(r#""padding":"""#, &format!(r#""padding":"{}""#, "x".repeat(size - frame.len())))
    };
    let mut socket = open(&stack).await;
    socket.sends_in_frames(&whole(128 * KB), 32 * KB).await;
    assert_eq!(socket.receives().await, "it fits");
    socket.sends_in_frames(&whole(128 * KB + 1), 32 * KB).await;
    assert_eq!(socket.is_closed().await.0, CloseCode::Size);

    let mut socket = open(&stack).await;
    assert_eq!(socket.asks(whole(32 * KB)).await, "it fits");
    socket.sends(whole(33 * KB)).await;
    assert_eq!(socket.is_closed().await.0, CloseCode::Size, "a frame has 32 KB");
}

#[tokio::test]
async fn binary_frames_are_not_supported_and_pings_are_answered() {
    let stack = Stack::gateway();
    let mut socket = open(&stack).await;
    socket.is_ponged().await;
    socket.sends_frame(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(socket.is_closed().await.0, CloseCode::Unsupported);
}

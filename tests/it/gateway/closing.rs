//! How connections end, and the event that `$disconnect` gets.

use std::time::{Duration, Instant};

use harness::{PATIENCE, Socket, Stack};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{connection_url, id_of, recorded};

/// The code and the reason in the event of `$disconnect`.
async fn told(stack: &Stack, id: &str) -> (u64, String) {
    let event = recorded(stack, "$disconnect", id).await;
    let context = &event["requestContext"];
    (
        context["disconnectStatusCode"].as_u64().unwrap(),
        context["disconnectReason"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let stack = Stack::own_gateway(&["--idle-timeout", "3s"]);
    let mut pushed_to = Socket::open(&stack, "main").await.unwrap();
    let mut idle = Socket::open(&stack, "main").await.unwrap();
    let (pushed_id, idle_id) = (id_of(&mut pushed_to).await, id_of(&mut idle).await);
    let began = Instant::now();
    let client = reqwest::Client::new();
    let url = connection_url(&stack, "main", &pushed_id);
    let pushing = async {
        for _ in 0..5 {
            // Idle for less than the limit.
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(client.post(&url).body("awake").send().await.unwrap().status(), 200);
            assert_eq!(pushed_to.receives().await, "awake", "a push counts as activity");
        }
    };
    let closing = async {
        // If a Ping counted as activity, the connection would never end.
        let mut beat = tokio::time::interval(Duration::from_millis(500));
        let pinging = async {
            loop {
                beat.tick().await;
                idle.sends_frame(Message::Ping("are you there?".into())).await;
                match idle.next().await {
                    Message::Close(frame) => break frame.expect("the gateway always says why"),
                    pong => assert_eq!(pong, Message::Pong("are you there?".into())),
                }
            }
        };
        let frame = timeout(PATIENCE, pinging).await.expect("a Ping does not count");
        assert_eq!((frame.code, frame.reason.as_str()), (CloseCode::Away, "Going away"));
        assert!(began.elapsed() > Duration::from_millis(2500), "{:?}", began.elapsed());
    };
    tokio::join!(pushing, closing);
    assert_eq!(told(&stack, &idle_id).await, (1001, "Going away".to_owned()));
}

#[tokio::test]
async fn no_connection_lasts_for_ever() {
    let stack = Stack::own_gateway(&["--max-lifetime", "4s"]);
    let mut socket = Socket::open(&stack, "main").await.unwrap();
    let began = Instant::now();
    let id = id_of(&mut socket).await;
    while began.elapsed() < Duration::from_secs(2) {
        assert_eq!(id_of(&mut socket).await, id, "however busy it is");
        // Busy is what it is to be, not as fast as it goes.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(socket.is_closed().await, (CloseCode::Away, "Going away".to_owned()));
    assert!(began.elapsed() > Duration::from_secs(3));
    assert_eq!(told(&stack, &id).await.0, 1001);
}

#[tokio::test]
async fn a_deleted_connection_is_closed_after_what_was_sent_before() {
    let stack = Stack::gateway();
    let mut socket = Socket::open(&stack, "main").await.unwrap();
    let id = id_of(&mut socket).await;
    let url = connection_url(&stack, "main", &id);
    let client = reqwest::Client::new();
    client.post(&url).body("the last").send().await.unwrap();
    let deleted = client.delete(&url).send().await.unwrap();
    assert_eq!((deleted.status().as_u16(), deleted.text().await.unwrap().as_str()), (204, ""));
    assert_eq!(client.get(&url).send().await.unwrap().status(), 410, "it is gone at once");
    let told = told(&stack, &id).await;
    assert_eq!(told, (1000, "Connection Closed Normally".to_owned()), "before the client has answered");
    assert_eq!(socket.receives().await, "the last");
    assert_eq!(socket.is_closed().await, (CloseCode::Normal, "Connection Closed Normally".to_owned()));
    assert_eq!(client.post(&url).body("too late").send().await.unwrap().status(), 410);
    assert_eq!(client.delete(&url).send().await.unwrap().status(), 410);
}

#[tokio::test]
async fn a_client_says_why_it_leaves() {
    let stack = Stack::gateway();
    for (said, heard) in [
        (None, (1005, "Client-side close frame status not set")),
        (Some((CloseCode::Away, "")), (1001, "")),
        (Some((CloseCode::Normal, "done")), (1000, "done")),
        (Some((CloseCode::from(4000), "of our own")), (4000, "of our own")),
    ] {
        let mut socket = Socket::open(&stack, "main").await.unwrap();
        let id = id_of(&mut socket).await;
        let frame = said.map(|(code, reason)| CloseFrame { code, reason: reason.into() });
        socket.closes(frame).await;
        assert_eq!(told(&stack, &id).await, (heard.0, heard.1.to_owned()));
    }
}

#[tokio::test]
async fn a_lost_connection_is_told_too() {
    let stack = Stack::gateway();
    let mut socket = Socket::open(&stack, "main").await.unwrap();
    let id = id_of(&mut socket).await;
    drop(socket);
    assert_eq!(told(&stack, &id).await.0, 1006);
    let gone = reqwest::Client::new().post(connection_url(&stack, "main", &id)).body("hello?").send();
    assert_eq!(gone.await.unwrap().status(), 410);
}

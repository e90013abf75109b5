//! Handshakes, accepted and refused.

use std::time::{Duration, Instant};

use harness::{PATIENCE, Socket, Stack, raise_open_files};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};
use uuid::Uuid;

async fn refused(stack: &Stack, path: &str) -> u16 {
    Socket::open(stack, path).await.expect_err("it is refused").status
}

#[tokio::test]
async fn the_status_of_connect_is_the_status_of_the_handshake() {
    let stack = Stack::gateway();
    for status in [200, 201, 204, 208, 226] {
        Socket::open(&stack, &format!("main?answer={{\"statusCode\":{status}}}"))
            .await
            .expect("it is a success");
    }
    for status in [301, 400, 401, 403, 404, 500, 501] {
        assert_eq!(refused(&stack, &format!("main?answer={{\"statusCode\":{status}}}")).await, status);
    }
}

#[tokio::test]
async fn a_connect_function_that_fails_is_a_bad_gateway() {
    let stack = Stack::gateway();
    assert_eq!(refused(&stack, "failing").await, 502, "it raised an error");
    assert_eq!(refused(&stack, "leaving").await, 502, "it exited");
    for nonsense in ["{}", "[]", "text", "{\"statusCode\":\"many\"}", "{\"statusCode\":200.5}"] {
        assert_eq!(refused(&stack, &format!("main?answer={nonsense}")).await, 502, "{nonsense}");
    }
}

#[tokio::test]
async fn a_connect_function_that_takes_too_long_times_out() {
    let stack = Stack::gateway();
    assert_eq!(refused(&stack, "waiting?ms=3000").await, 504);
}

#[tokio::test]
async fn an_authorizer_decides_who_comes_in() {
    let stack = Stack::gateway();
    assert_eq!(refused(&stack, "denied").await, 403);
    assert_eq!(refused(&stack, "elsewhere").await, 403, "allowed, but something else");
    assert_eq!(refused(&stack, "stopped").await, 401, "it raised `Unauthorized`");
    for stage in ["broken", "misunderstood", "overloaded"] {
        let refused = Socket::open(&stack, stage).await.expect_err("the authorizer is no good");
        assert_eq!(refused.status, 500, "{stage}");
        assert_eq!(refused.error_type.as_deref(), Some("AuthorizerConfigurationException"), "{stage}");
    }
}

#[tokio::test]
async fn an_authorizer_has_ten_seconds() {
    let stack = Stack::gateway();
    let began = Instant::now();
    assert_eq!(refused(&stack, "guarded?token=t&ms=11500").await, 500, "it would have been let in later");
    assert!(began.elapsed() > Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn without_its_identity_source_an_authorizer_is_not_asked() {
    let stack = Stack::gateway();
    let mark = Uuid::new_v4().to_string();
    assert_eq!(refused(&stack, &format!("guarded?mark={mark}")).await, 401);
    assert_eq!(refused(&stack, &format!("guarded?mark={mark}&token=")).await, 401);
    Socket::open(&stack, &format!("guarded?mark={mark}&token=t")).await.expect("now it is there");
    let asked = || {
        let events = stack.lines().into_iter().filter(|(function, _)| function == "allow");
        events.filter(|(_, line)| line["event"]["queryStringParameters"]["mark"] == mark).count()
    };
    harness::eventually("the authorizer was asked", async || asked() > 0).await;
    assert_eq!(asked(), 1);
}

#[tokio::test]
async fn too_many_connections_are_refused() {
    let stack = Stack::own_gateway(&[]);
    for _ in 0..2 {
        Socket::open(&stack, "throttled").await.expect("the burst passes");
    }
    assert_eq!(refused(&stack, "throttled").await, 429);
    assert_eq!(refused(&stack, "throttled").await, 429);
    Socket::open(&stack, "main").await.expect("another API is not concerned");
}

/// Other systems than Linux let fewer wait.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn many_may_come_while_the_gateway_is_busy() {
    let handshake = b"GET /open HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    raise_open_files();
    let stack = Stack::own_gateway(&[]);
    let pause = stack.pauses();
    let mut streams = Vec::new();
    for _ in 0..1000 {
        let connecting = TcpStream::connect(("127.0.0.1", stack.port));
        let mut stream = timeout(PATIENCE, connecting).await.expect("it can wait in line").unwrap();
        stream.write_all(handshake).await.unwrap();
        streams.push(stream);
    }
    drop(pause);
    for mut stream in streams {
        let mut status = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut status)).await.expect("it is answered").unwrap();
        assert_eq!(&status, b"HTTP/1.1 101");
    }
}

#[tokio::test]
async fn the_connect_function_chooses_the_subprotocol() {
    let stack = Stack::gateway();
    let offered = [("sec-websocket-protocol", "one, two")];
    let headers = r#"{"Sec-WebSocket-Protocol":"two","x-other":"dropped"}"#;
    let chosen = &format!("main?answer={{\"statusCode\":200,\"headers\":{headers}}}");
    let socket = Socket::open_with(&stack, chosen, &offered).await.expect("it is chosen");
    assert_eq!(socket.response.headers()["sec-websocket-protocol"], "two");
    assert!(!socket.response.headers().contains_key("x-other"), "no other header is passed on");

    let error = Socket::handshake(&stack, "main", &offered).await.expect_err("nobody chose one");
    let expected = ProtocolError::SecWebSocketSubProtocolError(SubProtocolError::NoSubProtocol);
    assert!(matches!(error, Error::Protocol(error) if error == expected));
}

#[tokio::test]
async fn a_connection_does_not_exist_before_connect_has_answered() {
    let stack = Stack::gateway();
    assert_eq!(refused(&stack, "knocked").await, 410, "what the callback answered to the $connect function");
}

#[tokio::test]
async fn without_a_connect_route_everybody_may_come_in() {
    let stack = Stack::gateway();
    let mut socket = Socket::open(&stack, "open").await.expect("nobody is asked");
    assert!(socket.asks("hello").await.contains("\"body\":\"hello\""));
}

#[tokio::test]
async fn what_is_no_handshake_is_refused() {
    let stack = Stack::gateway();
    assert_eq!(reqwest::get(stack.http("/main")).await.unwrap().status(), 426);
    assert_eq!(refused(&stack, "nowhere").await, 403, "there is no such stage");
    assert_eq!(refused(&stack, &format!("main?x={}", "x".repeat(4096))).await, 414);
}

#[tokio::test]
async fn the_lines_of_a_list_are_one_list() {
    let stack = Stack::gateway();
    for headers in [
        "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket",
        "Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: h2c\r\nUpgrade: WebSocket",
        "Connection: keep-alive, upgrade\r\nUpgrade: h2c, websocket",
    ] {
        let mut socket = TcpStream::connect(("127.0.0.1", stack.port)).await.unwrap();
        let request = format!(
            "GET /open HTTP/1.1\r\nHost: localhost\r\n{headers}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        socket.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 101", "{headers}");
    }
}

#[tokio::test]
async fn a_status_is_a_whole_number_however_it_is_written() {
    let stack = Stack::gateway();
    for good in ["200", "204.0", "\"200\""] {
        let answer = format!("main?answer={{\"statusCode\":{good}}}");
        assert!(Socket::open(&stack, &answer).await.is_ok(), "{good}");
    }
    assert_eq!(refused(&stack, "main?answer={\"statusCode\":\"403\"}").await, 403);
    for bad in ["200.5", "\"many\"", "\"\"", "null", "-1", "[200]"] {
        assert_eq!(refused(&stack, &format!("main?answer={{\"statusCode\":{bad}}}")).await, 502, "{bad}");
    }
}

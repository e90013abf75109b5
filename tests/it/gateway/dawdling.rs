//! Clients that are as slow as they can be, to occupy sockets and memory.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::{Socket, Stack};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

/// Sends the beginning, then a byte four times a second for ever; returns what was answered until the gateway
/// closed the socket, and when that was.
async fn dawdle(port: u16, beginning: &str) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    writing.write_all(beginning.as_bytes()).await.unwrap();
    let trickle = async {
        let mut beat = interval(Duration::from_millis(250));
        loop {
            beat.tick().await;
            // A closed socket is noticed by the other half.
            let _ = writing.write_all(b"x").await;
        }
    };
    let answer = timeout(Duration::from_secs(60), async {
        tokio::select! { answer = until_the_end(&mut reading) => answer,
        () = trickle => unreachable!("it is for ever") }
    })
    .await
    .expect("the gateway closes it");
    (String::from_utf8(answer).unwrap(), began.elapsed())
}

/// What comes before the gateway closes the socket. One that is closed before all was read is reset, which
/// ends it as well.
async fn until_the_end(reading: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut answer = Vec::new();
    while reading.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {}
    answer
}

#[tokio::test]
async fn slow_handshakes_are_cut_off_while_others_are_served() {
    let stack = Stack::gateway();
    let dawdlers =
        join_all((0..500).map(|_| dawdle(stack.port, "GET /main HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")));
    let others = async {
        for _ in 0..50 {
            let mut socket = Socket::open(&stack, "main").await.expect("who is quick comes in");
            let answer = socket.asks(r#"{"action":"echo","say":"hello"}"#).await;
            assert!(answer.contains("hello"), "{answer}");
        }
    };
    let (ends, ()) = tokio::join!(dawdlers, others);
    for (answer, after) in ends {
        assert_eq!(answer, "", "there was no request yet that could be answered");
        assert!(after > Duration::from_secs(9) && after < Duration::from_secs(30), "{after:?}");
    }
}

#[tokio::test]
async fn slow_bodies_and_idle_sockets_are_cut_off() {
    let stack = Stack::gateway();
    let upload = async |path: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
        dawdle(stack.port, &head).await
    };
    let (http, callback, invocation, idle) = tokio::join!(
        upload("/echo"),
        upload("/main/@connections/L0SM9cOFvHcCIhw="),
        upload("/2015-03-31/functions/echo/invocations"),
        idles(stack.port),
    );
    for (answer, after) in [&http, &callback, &invocation] {
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout"), "{answer}");
        assert!(*after > Duration::from_secs(29), "{after:?}");
    }
    assert!(http.0.ends_with(r#"{"message":"Request Timeout"}"#), "{}", http.0);
    assert!(idle > Duration::from_secs(29) && idle < Duration::from_secs(60), "{idle:?}");
}

/// Asks for something, keeps the socket for more that never comes, and says how long it may.
async fn idles(port: u16) -> Duration {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let began = Instant::now();
    let mut answer = String::new();
    let closed = stream.read_to_string(&mut answer);
    timeout(Duration::from_secs(60), closed).await.expect("the gateway closes it").unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    began.elapsed()
}

#[tokio::test]
async fn who_does_not_read_an_answer_is_cut_off() {
    let stack = Stack::gateway();
    let socket = TcpSocket::new_v4().unwrap();
    // More than this, and what the gateway's socket takes, cannot be on the way.
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], stack.port).into()).await.unwrap();
    let body = "x".repeat(5_000_000);
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    // Who does not read learns of the end by writing: a socket that nobody has any more refuses what comes.
    let asked = Instant::now();
    let refused = async {
        let mut beat = interval(Duration::from_millis(250));
        while stream.write_all(b"x").await.is_ok() {
            beat.tick().await;
        }
    };
    timeout(Duration::from_secs(90), refused).await.expect("the gateway closes it");
    assert!(asked.elapsed() > Duration::from_secs(59), "{:?}", asked.elapsed());
    let answer = until_the_end(&mut stream).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK") && answer.len() < body.len(), "{} bytes", answer.len());
}

#[tokio::test]
async fn a_request_of_http_2_ends_its_socket() {
    let stack = Stack::gateway();
    let mut stream = TcpStream::connect(("127.0.0.1", stack.port)).await.unwrap();
    // The preface, empty SETTINGS, and the HEADERS of `GET http://localhost/`.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
    stream.write_all(b"\0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x84\x41\x09localhost").await.unwrap();
    let closed = timeout(Duration::from_secs(5), until_the_end(&mut stream)).await;
    let answer = closed.expect("at once, not after the limit for a first request");
    // The type of a frame is its fourth byte: the server's own SETTINGS, so this was understood as HTTP/2.
    assert_eq!(answer.get(3), Some(&4), "{answer:?}");
}

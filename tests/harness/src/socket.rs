//! A connection to the gateway, whatever functions are behind it.

use futures_util::{SinkExt, StreamExt};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::{PATIENCE, Stack};

/// Characters of readable paths that a URL cannot hold.
const URL: &AsciiSet = &CONTROLS.add(b'"').add(b'{').add(b'}').add(b' ');

/// An open connection.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The response to the handshake.
    pub response: Response,
}

/// A handshake that failed.
#[derive(Debug)]
pub struct Refused {
    /// The status of the response.
    pub status: u16,
    /// Its header `x-amzn-errortype`.
    pub error_type: Option<String>,
}

impl Socket {
    /// Opens a connection to `path`, which begins with the stage.
    ///
    /// # Errors
    /// If the handshake is answered with another status.
    pub async fn open(stack: &Stack, path: &str) -> Result<Self, Refused> {
        Self::open_with(stack, path, &[]).await
    }

    /// The same with headers.
    ///
    /// # Errors
    /// The same.
    pub async fn open_with(
        stack: &Stack,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refused> {
        match Self::handshake(stack, path, headers).await {
            Ok(socket) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => {
                let error_type = response.headers().get("x-amzn-errortype");
                Err(Refused {
                    status: response.status().as_u16(),
                    error_type: error_type.and_then(|kind| kind.to_str().ok()).map(str::to_owned),
                })
            }
            Err(error) => panic!("the handshake failed otherwise than by a status: {error}"),
        }
    }

    /// The same, with any error.
    ///
    /// # Errors
    /// What went wrong with the handshake.
    pub async fn handshake(
        stack: &Stack,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let path = utf8_percent_encode(path, URL);
        let mut request = format!("ws://127.0.0.1:{}/{path}", stack.port).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        Self::connect(request).await
    }

    /// Opens a connection to a URL or with a request of the caller's own.
    ///
    /// # Errors
    /// What went wrong with the handshake.
    pub async fn connect(request: impl IntoClientRequest + Unpin) -> Result<Self, tungstenite::Error> {
        let (stream, response) = tokio_tungstenite::connect_async(request).await?;
        Ok(Self { stream, response })
    }

    /// Sends text as it is. Returns whether the connection took it.
    pub async fn tries(&mut self, text: impl Into<String>) -> bool {
        self.stream.send(Message::text(text.into())).await.is_ok()
    }

    /// Sends text as it is.
    pub async fn sends(&mut self, text: impl Into<String>) {
        assert!(self.tries(text).await, "the connection is open");
    }

    /// Sends one frame of any kind.
    pub async fn sends_frame(&mut self, frame: Message) {
        self.stream.send(frame).await.expect("the connection is open");
    }

    /// Sends one message in frames of at most `size` bytes, as far as the other side lets it.
    pub async fn sends_in_frames(&mut self, text: &str, size: usize) {
        let pieces: Vec<_> = text.as_bytes().chunks(size).collect();
        for (at, piece) in pieces.iter().enumerate() {
            let kind = if at == 0 { Data::Text } else { Data::Continue };
            let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), at + 1 == pieces.len());
            if self.stream.send(Message::Frame(frame)).await.is_err() {
                return;
            }
        }
    }

    /// The next message.
    pub async fn receives(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.to_string(),
            other => panic!("waited for text and got {other:?}"),
        }
    }

    /// The next message, which is JSON.
    pub async fn receives_json(&mut self) -> Value {
        serde_json::from_str(&self.receives().await).expect("it is JSON")
    }

    /// Sends text and gets the next message.
    pub async fn asks(&mut self, text: impl Into<String>) -> String {
        self.sends(text).await;
        self.receives().await
    }

    /// Sends a Ping, and waits for the Pong.
    pub async fn is_ponged(&mut self) {
        self.sends_frame(Message::Ping("are you there?".into())).await;
        assert_eq!(self.next().await, Message::Pong("are you there?".into()));
    }

    /// Waits until the other side closes the connection: code and reason.
    pub async fn is_closed(&mut self) -> (CloseCode, String) {
        loop {
            if let Message::Close(frame) = self.next().await {
                let CloseFrame { code, reason } = frame.expect("the gateway always says why");
                return (code, reason.to_string());
            }
        }
    }

    /// Closes the connection. The other side has to answer with the same close frame.
    pub async fn closes(mut self, frame: Option<CloseFrame>) {
        self.stream.close(frame.clone()).await.expect("the connection is open");
        loop {
            if let Message::Close(answer) = self.next().await {
                assert_eq!(answer, frame);
                return;
            }
        }
    }

    /// Whatever comes next. Panics if nothing comes, or the connection is not open any more.
    pub async fn next(&mut self) -> Message {
        let next = timeout(PATIENCE, self.stream.next()).await.expect("something comes");
        next.expect("the connection is open").expect("the connection is sound")
    }

    /// The same without a time limit; `None` if the connection ended or broke.
    pub async fn next_whenever(&mut self) -> Option<Message> {
        self.stream.next().await?.ok()
    }
}

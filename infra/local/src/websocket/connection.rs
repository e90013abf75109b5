//! An open connection: frames in, frames out, and its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Gateway;
use super::registry::{Connection, Outgoing};
use super::route::route;

/// API Gateway's quotas of a frame and a message, in bytes.
const MAX_FRAME: usize = 32 * 1024;
const MAX_MESSAGE: usize = 128 * 1024;

/// How long a frame may take from being queued to being written, if the client reads slowly or not at all.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The time limit of the answer to a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// The close code and reason of a connection, as `$disconnect` gets them.
struct End {
    code: u16,
    reason: String,
}

/// Why nothing more is written to a client.
enum Written {
    /// The connection is to be closed, and all frames before that were sent.
    Close,
    /// The client does not read.
    Stuck,
}

/// Serves a connection until it ends, then invokes `$disconnect`.
pub(super) async fn run(
    gateway: Gateway,
    connection: Arc<Connection>,
    upgrade: OnUpgrade,
    frames: mpsc::UnboundedReceiver<Outgoing>,
) {
    let end = match upgrade.await {
        Ok(upgraded) => {
            let config = WebSocketConfig::default()
                .read_buffer_size(4 * 1024)
                .max_frame_size(Some(MAX_FRAME))
                .max_message_size(Some(MAX_MESSAGE));
            let socket =
                WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
            serve(&gateway, &connection, socket, frames).await
        }
        Err(_) => lost(),
    };
    gateway.registry().remove(&connection.peer.connection_id);
    gateway.0.disconnect(&connection.peer, end.code, &end.reason).await;
}

async fn serve(
    gateway: &Gateway,
    connection: &Arc<Connection>,
    socket: Socket,
    frames: mpsc::UnboundedReceiver<Outgoing>,
) -> End {
    let (mut sink, mut stream) = socket.split();
    let closing = {
        // Frames are read while others wait to be written.
        let mut writing = pin!(write(connection, &mut sink, frames));
        let limits = gateway.0.limits;
        let opened = Instant::now();
        let mut closes_at = None;
        loop {
            let ends_at = (connection.active_at() + limits.idle).min(opened + limits.lifetime);
            tokio::select! {
                written = &mut writing => match written {
                    Written::Close => break NORMAL,
                    Written::Stuck => return lost(),
                },
                () = connection.asked_to_close(), if closes_at.is_none() => {
                    closes_at = Some(Instant::now() + CLOSE_TIMEOUT);
                }
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        connection.touch();
                        // Messages are handled concurrently, so their order is not kept, as on AWS.
                        tokio::spawn(route(gateway.clone(), connection.clone(), text));
                    }
                    // The library answers pings. They do not count as activity.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Close(frame))) => break Closing::ByClient(frame),
                    Some(Ok(Message::Binary(_))) => {
                        break Closing::ByUs(CloseCode::Unsupported, "Binary messages are not supported");
                    }
                    Some(Err(error)) => match offence(&error) {
                        Some((code, reason)) => break Closing::ByUs(code, reason),
                        None => return lost(),
                    },
                    None => return lost(),
                },
                () = sleep_until(closes_at.unwrap_or(ends_at).min(ends_at)) => {
                    if closes_at.is_some() {
                        break NORMAL;
                    }
                    // A frame may have been written meanwhile.
                    let is_idle = connection.active_at() + limits.idle <= Instant::now();
                    if is_idle || ends_at == opened + limits.lifetime {
                        break Closing::ByUs(CloseCode::Away, "Going away");
                    }
                }
            }
        }
    };
    let socket = sink.reunite(stream).expect("they are the halves of one socket");
    match closing {
        Closing::ByUs(code, reason) => close(gateway, connection, socket, code, reason).await,
        Closing::ByClient(frame) => closed_by_client(socket, frame).await,
    }
}

/// The side that closes a connection, and why.
enum Closing {
    ByUs(CloseCode, &'static str),
    ByClient(Option<CloseFrame>),
}

/// The close frame of a connection that is closed over the callbacks.
const NORMAL: Closing = Closing::ByUs(CloseCode::Normal, "Connection Closed Normally");

/// Writes frames to the client, until the connection is closed or the client does not read.
async fn write(
    connection: &Connection,
    sink: &mut SplitSink<Socket, Message>,
    mut frames: mpsc::UnboundedReceiver<Outgoing>,
) -> Written {
    while let Some(Outgoing::Text { text, since }) = frames.recv().await {
        let bytes = text.len();
        match timeout_at(since + WRITE_TIMEOUT, sink.send(Message::Text(text))).await {
            Ok(Ok(())) => connection.sent(bytes),
            Ok(Err(_)) | Err(_) => return Written::Stuck,
        }
    }
    Written::Close
}

/// Closes the connection from this side. It counts as closed at once; the client has a moment to answer.
async fn close(
    gateway: &Gateway,
    connection: &Connection,
    mut socket: Socket,
    code: CloseCode,
    reason: &'static str,
) -> End {
    // From now on callbacks return 410.
    gateway.registry().remove(&connection.peer.connection_id);
    let frame = CloseFrame { code, reason: reason.into() };
    let farewell = async move {
        socket.close(Some(frame)).await?;
        while socket.next().await.transpose()?.is_some() {}
        let mut raw = socket.into_inner();
        // The server has to end the TCP connection first.
        raw.shutdown().await?;
        // After an error the library reads no more. Unread bytes would reset the TCP connection, and the
        // client might not get the close frame.
        tokio::io::copy(&mut raw, &mut tokio::io::sink()).await?;
        Ok::<_, Error>(())
    };
    // It makes no difference whether the client answers.
    tokio::spawn(timeout(CLOSE_TIMEOUT, farewell));
    End { code: code.into(), reason: reason.to_owned() }
}

async fn closed_by_client(mut socket: Socket, frame: Option<CloseFrame>) -> End {
    // The library has queued the answer; this sends it. The client may not wait for it.
    let _ = timeout(CLOSE_TIMEOUT, socket.flush()).await;
    match frame {
        Some(CloseFrame { code, reason }) => End { code: code.into(), reason: reason.to_string() },
        None => End { code: 1005, reason: "Client-side close frame status not set".to_owned() },
    }
}

/// The close code and reason, if the client has violated the protocol.
fn offence(error: &Error) -> Option<(CloseCode, &'static str)> {
    match error {
        Error::Capacity(_) => Some((CloseCode::Size, "Message too long")),
        Error::Utf8(_) => Some((CloseCode::Invalid, "Invalid UTF-8")),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some((CloseCode::Protocol, "Protocol error")),
        _ => None,
    }
}

/// The end of a connection that broke without a close frame.
fn lost() -> End {
    End { code: 1006, reason: "Connection closed abnormally".to_owned() }
}

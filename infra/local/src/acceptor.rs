//! Options of the sockets that clients open.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;

/// How long a client may go without reading more of a response. WebSockets have a shorter limit of their own.
const MAX_STALL: Duration = Duration::from_secs(60);

/// Sets `TCP_NODELAY`, and a limit on the time that a client may take to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acceptor;

impl<S> Accept<TcpStream, S> for Acceptor {
    type Stream = Pin<Box<TimeoutStream<TcpStream>>>;
    type Service = S;
    type Future = Ready<io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        // Responses and frames are small, and a client waits for each. So none is delayed to be merged with
        // the next.
        ready(stream.set_nodelay(true).map(|()| {
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(MAX_STALL));
            (Box::pin(stream), service)
        }))
    }
}

//! A service that is far away: what goes to it and comes from it arrives later, and is encrypted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::timer;
use super::tls::Authority;

/// What one direction holds that was sent and has not been read, in bytes, and in how many pieces.
const BUFFER: usize = 256 * 1024;
const PIECES: usize = 16;

/// A service on this machine, and how far away it is.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) at: SocketAddr,
    pub(super) protocol: Protocol,
    pub(super) round_trip: Duration,
    pub(super) authority: Arc<Authority>,
}

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// With TLS.
    Https,
    /// With a request for TLS, which is granted.
    Postgres,
}

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>) {
    loop {
        match listener.accept().await {
            // A connection that fails ends, and each side sees that.
            Ok((client, _)) => drop(tokio::spawn(connect(client, service.clone()))),
            // Most likely too many files are open, and the next try would fail at once.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connect(client: TcpStream, service: Arc<Service>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (client_side, service_side) = duplex(BUFFER);
    let (from_service, to_service) = tokio::io::split(client_side);
    let one_way = service.round_trip / 2;
    // The system has answered the handshake of TCP at once, which takes a round trip from far away.
    let opened = Instant::now() + service.round_trip;
    tokio::spawn(delay(from_client, to_service, one_way, opened));
    tokio::spawn(delay(from_service, to_client, one_way, opened));
    encrypt(service_side, &service).await
}

/// Passes on what was sent, encrypted on one side.
async fn encrypt(mut client: DuplexStream, service: &Service) -> io::Result<()> {
    if service.protocol == Protocol::Postgres {
        // `SSLRequest`, which has no content.
        client.read_exact(&mut [0; 8]).await?;
        client.write_all(b"S").await?;
    }
    let mut client = service.authority.acceptor.accept(client).await?;
    let mut here = TcpStream::connect(service.at).await?;
    here.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut here).await.map(drop)
}

/// Lets what is read arrive `one_way` later, as if the connection had been opened at `opened`.
async fn delay(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    one_way: Duration,
    opened: Instant,
) -> io::Result<()> {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Bytes)>(PIECES);
    tokio::spawn(async move {
        loop {
            let mut buffer = BytesMut::with_capacity(BUFFER / PIECES);
            if !from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                return;
            }
            let due = Instant::now().max(opened) + one_way;
            if sender.send((due, buffer.freeze())).await.is_err() {
                return;
            }
        }
    });
    while let Some((due, bytes)) = under_way.recv().await {
        timer::sleep_until(due).await;
        to.write_all(&bytes).await?;
    }
    to.shutdown().await
}

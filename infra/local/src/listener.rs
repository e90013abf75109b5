//! Listening on loopback.

use std::io;
use std::net::Ipv4Addr;

use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted. The kernel allows no more than `net.core.somaxconn`, which
/// is 4,096 on Linux; it resets connections beyond the limit. `TcpListener::bind` has a limit of 128.
const BACKLOG: u32 = 4096;

/// Listens on a port; 0 is any free one.
pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Lets a new stack take a port whose old connections are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(BACKLOG)
}

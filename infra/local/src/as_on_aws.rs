//! Makes the stack as slow as AWS. A function gets the share of a processor that its memory buys, is frozen
//! between events, and reaches everything that it calls over TLS, from as far away as on AWS.

mod bills;
mod distance;
mod share;
mod timer;
mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use tokio::net::TcpListener;

use crate::listener::listen;
use distance::{Protocol, Service};
use tls::Authority;

pub(crate) use share::{Processor, Shares};
pub(crate) use tls::TlsError;

/// The round trips of a function in the same region: to a database in its zone, to DynamoDB, and to the
/// public endpoints of API Gateway and Lambda.
const TO_POSTGRES: Duration = Duration::from_millis(1);
const TO_DYNAMODB: Duration = Duration::from_millis(4);
const TO_PUBLIC_ENDPOINTS: Duration = Duration::from_millis(15);

/// The ways to the services of a stack.
#[derive(Debug)]
pub(crate) struct Distances {
    authority: Arc<Authority>,
}

impl Distances {
    /// Makes a certificate authority in a folder.
    pub(crate) fn new(folder: &Path) -> Result<Self, TlsError> {
        Ok(Self { authority: Arc::new(Authority::new(folder)?) })
    }

    /// The file with the certificate of the authority.
    pub(crate) fn certificate(&self) -> String {
        self.authority.certificate.display().to_string()
    }

    /// The URL at which functions reach DynamoDB.
    pub(crate) fn to_dynamodb(&self, dynamodb: SocketAddr) -> io::Result<String> {
        self.https(dynamodb, TO_DYNAMODB)
    }

    /// The URL at which functions reach the callbacks and the Invoke API of the gateway, which listens at
    /// `port`.
    pub(crate) fn to_gateway(&self, port: u16) -> io::Result<String> {
        let gateway = (Ipv4Addr::LOCALHOST, port).into();
        self.https(gateway, TO_PUBLIC_ENDPOINTS)
    }

    /// The URL at which functions reach the Postgres that listens at `port`.
    pub(crate) fn to_postgres(&self, url: &str, port: u16) -> io::Result<String> {
        let listener = listen(0)?;
        let near = listener.local_addr()?;
        let postgres = (Ipv4Addr::LOCALHOST, port).into();
        self.serve(listener, postgres, Protocol::Postgres, TO_POSTGRES);
        let url = url.replace(&format!("@127.0.0.1:{port}/"), &format!("@{near}/"));
        let roots = self.certificate();
        let roots = percent_encode(roots.as_bytes(), NON_ALPHANUMERIC);
        Ok(format!("{url}?sslmode=verify-full&sslrootcert={roots}"))
    }

    fn https(&self, at: SocketAddr, round_trip: Duration) -> io::Result<String> {
        let listener = listen(0)?;
        let url = format!("https://{}", listener.local_addr()?);
        self.serve(listener, at, Protocol::Https, round_trip);
        Ok(url)
    }

    fn serve(&self, listener: TcpListener, at: SocketAddr, protocol: Protocol, round_trip: Duration) {
        let service = Service { at, protocol, round_trip, authority: self.authority.clone() };
        tokio::spawn(distance::serve(listener, Arc::new(service)));
    }
}

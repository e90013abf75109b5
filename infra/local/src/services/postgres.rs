//! Postgres: the one at a given URL, an installed one, or one from a Python package.

mod error;
mod find;
mod install;
mod program;
mod server;

use std::error::Error;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

pub(crate) use error::PostgresError;
pub(crate) use find::find;
pub(crate) use server::Postgres;

/// Checks that something listens at `url`. The functions check the rest.
pub(crate) async fn check(url: &str) -> Result<(), PostgresError> {
    let refused = PostgresError::NotAtUrl;
    let address = url.split_once('?').map_or(url, |(address, _)| address);
    let config: Config = address.parse().map_err(|error| refused(with_source(&error)))?;
    // One of several hosts may be down, and a socket file tells nothing before it is used.
    let [Host::Tcp(name)] = config.get_hosts() else { return Ok(()) };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match timeout(Duration::from_secs(5), TcpStream::connect((name.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(refused(format!("{name}:{port}: {error}"))),
        Err(_) => Err(refused(format!("{name}:{port} does not answer"))),
    }
}

fn with_source(error: &tokio_postgres::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

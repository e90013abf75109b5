//! The connections of a process, and what becomes of a call when one of them fails.

use std::error::Error;
use std::time::{Duration, Instant};

use deadpool_postgres::{
    Client, ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime,
};
use domain::{Dependency, Failure};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};

/// A process handles one event at a time, so one connection would do; a second one stands in while the first
/// is replaced.
const CONNECTIONS: usize = 2;

/// How long a connection may take to open, and a statement to answer. A client waits for both.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);

const SERVER_TIMEOUT: Duration = Duration::from_millis(2800);

/// How long a call may take with all its tries.
const CALL_TIMEOUT: Duration = Duration::from_secs(6);

/// How often a call is tried.
const TRIES: usize = 3;

/// A connection that was idle for this long may have been cut without a word, by a freeze or a router: it has
/// to answer first, and soon.
const TRUSTED_FOR: Duration = Duration::from_secs(30);
const CHECK_TIMEOUT: Duration = Duration::from_millis(500);

/// The database, as one Lambda process sees it. Opens no connection before the first call.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
}

/// The database URL cannot be understood. It holds a password, so it is not repeated here.
#[derive(Debug, thiserror::Error)]
#[error("not a Postgres URL: {0}")]
pub struct InvalidDatabaseUrl(String);

impl Store {
    /// A pool for the database at `url`, as libpq writes it: `postgres://user:password@host:port/database`.
    pub fn new(url: &str) -> Result<Self, InvalidDatabaseUrl> {
        let mut config: Config = url.parse().map_err(|error| InvalidDatabaseUrl(reason(&error)))?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        // The server gives up a little earlier than we do. Were it left to go on, it might commit what was
        // answered as failed.
        let options = config.get_options().unwrap_or_default();
        config.options(format!("{options} -c statement_timeout={}", SERVER_TIMEOUT.as_millis()));
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(config, NoTls, recycling))
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .pre_recycle(Hook::async_fn(|client, metrics| {
                Box::pin(check_if_long_idle(client, metrics.last_used()))
            }))
            .build()
            .map_err(|error| InvalidDatabaseUrl(error.to_string()))?;
        Ok(Self { pool })
    }

    /// Runs one call on a pooled connection, and again if it met a dead one or lost a race.
    pub(crate) async fn run<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let calling = async {
            let mut tried = 1;
            loop {
                match self.try_once(&call).await {
                    // A dead connection may have carried out the first try, and the second one may then have
                    // lost against that.
                    Err(Attempt::LostRace(_) | Attempt::Dead(_)) if tried < TRIES => tried += 1,
                    done => return done.map_err(Attempt::into_failure),
                }
            }
        };
        let timed_out = |elapsed| Err(Failure::unavailable(Dependency::Postgres, elapsed));
        timeout(CALL_TIMEOUT, calling).await.unwrap_or_else(timed_out)
    }

    async fn try_once<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, Attempt>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let client = self.pool.get().await.map_err(|error| Attempt::Unavailable(error.into()))?;
        let began = Instant::now();
        let tried = timeout(STATEMENT_TIMEOUT, call(client)).await;
        tracing::trace!(target: "measured", postgres_us = microseconds(began));
        let tried = match tried {
            Ok(done) => done.map_err(Attempt::from),
            Err(elapsed) => Err(Attempt::Unavailable(elapsed.into())),
        };
        if let Err(Attempt::Dead(_) | Attempt::Unavailable(_)) = &tried {
            // What ended this connection (a restart, a long freeze) ended its idle neighbour too, and one
            // that has not answered in time may still: nobody shall get either.
            self.pool.retain(|_, _| false);
        }
        tried
    }
}

/// Checking every connection with a query of its own would double the round trips, so only those are that may
/// well be dead.
async fn check_if_long_idle(client: &mut ClientWrapper, idle: Duration) -> Result<(), HookError> {
    if idle < TRUSTED_FOR {
        return Ok(());
    }
    match timeout(CHECK_TIMEOUT, client.simple_query("")).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(HookError::Backend(error)),
        Err(_) => Err(HookError::message("it does not answer any more")),
    }
}

/// Why a try did not succeed.
enum Attempt {
    /// Another statement was there first; a repeat sees what it did.
    LostRace(tokio_postgres::Error),
    /// The connection was dead; another one may not be.
    Dead(tokio_postgres::Error),
    /// The database cannot serve now.
    Unavailable(Box<dyn Error + Send + Sync>),
    /// The database does not accept what it was asked.
    Unexpected(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Attempt {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(code) if lost_race(code) => Self::LostRace(error),
            Some(code) if server_stopping(code) => Self::Dead(error),
            Some(code) if unavailable(code) => Self::Unavailable(described(&error).into()),
            None if error.is_closed() => Self::Dead(error),
            _ => Self::Unexpected(error),
        }
    }
}

impl Attempt {
    fn into_failure(self) -> Failure {
        match self {
            Self::LostRace(error) | Self::Dead(error) => {
                Failure::unavailable(Dependency::Postgres, described(&error))
            }
            Self::Unavailable(cause) => Failure::unavailable(Dependency::Postgres, cause),
            Self::Unexpected(error) => Failure::unexpected(Dependency::Postgres, described(&error)),
        }
    }
}

/// Two statements met, and the one that lost sees what the other did when it runs again: an equal
/// `clientMessageId` or pair at once, or locks taken in opposite order.
fn lost_race(code: &SqlState) -> bool {
    *code == SqlState::UNIQUE_VIOLATION || *code == SqlState::T_R_DEADLOCK_DETECTED
}

/// The server ends the connection, since it stops or was told to; another one may come up at once.
fn server_stopping(code: &SqlState) -> bool {
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::IDLE_SESSION_TIMEOUT].contains(code)
}

/// Connection exceptions (08), insufficient resources (53), operator intervention (57: shutting down,
/// starting up).
fn unavailable(code: &SqlState) -> bool {
    ["08", "53", "57"].iter().any(|class| code.code().starts_with(class))
}

/// The time since `began`.
pub(crate) fn microseconds(began: Instant) -> u64 {
    began.elapsed().as_micros().try_into().unwrap_or(u64::MAX)
}

/// An error as it may be logged: Postgres's details repeat the values of a row, which are private.
fn described(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        None => error.to_string(),
        Some(db) => {
            let constraint = db.constraint().map(|name| format!(" (constraint {name})")).unwrap_or_default();
            format!("{} {}{constraint}", db.code().code(), db.message())
        }
    }
}

fn reason(error: &tokio_postgres::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

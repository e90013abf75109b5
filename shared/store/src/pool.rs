//! The connection pool of a process, and what happens to a call when a connection fails.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws::{SdkConfig, Secret};
use deadpool_postgres::{
    Client, ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
};
use domain::{ConversationId, Dependency, Failure};
use environment::Misconfigured;
use futures_util::future::try_join_all;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{NoTls, Row, Statement};

use crate::database::{Database, InvalidDatabaseUrl};
use crate::query::{Prepare, Query};
use crate::tls::{self, Tls};

/// A process handles one event at a time, so one connection would do. The second is used while the first is
/// replaced.
const CONNECTIONS: usize = 2;

/// Time limits of opening a connection and of a statement. A client waits for both.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);

/// The time limit of opening a connection for a migration. A paused Aurora takes about 15 s to resume (Aurora
/// User Guide, "Scaling to Zero ACUs").
const SESSION_CONNECT_TIMEOUT: Duration = Duration::from_secs(40);

/// The time limit that the server has for a statement: a little less than [`STATEMENT_TIMEOUT`].
const SERVER_TIMEOUT: Duration = Duration::from_millis(2800);

/// Begins a transaction of two statements, which together have to end before [`SERVER_TIMEOUT`].
const BEGIN: &str = "begin; set local statement_timeout = '1400ms'";

/// The time limit of a call with all its tries.
const CALL_TIMEOUT: Duration = Duration::from_secs(6);

/// The number of tries of a call.
const TRIES: usize = 3;

/// A connection that has been idle for this long may be dead without notice, after a freeze or in a router.
/// It is checked before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(30);
const CHECK_TIMEOUT: Duration = Duration::from_millis(500);

/// The variable with the URL of the database as libpq writes it, its JSON form, or the ARN of a secret that
/// holds either.
const DATABASE_URL: &str = "DATABASE_URL";

/// The value of `DATABASE_URL`.
///
/// # Errors
///
/// The variable is not set.
pub fn url_from_env(sdk: &SdkConfig) -> Result<Secret, Misconfigured> {
    Secret::from_env(DATABASE_URL, sdk)
}

/// The database. Opens no connection before the first call.
#[derive(Clone, Debug)]
pub struct Store {
    url: Secret,
    /// Whether backends are told what happens.
    records_events: bool,
    latest: Arc<Mutex<Option<Pooled>>>,
}

/// The connections to one URL.
#[derive(Clone, Debug)]
struct Pooled {
    url: Arc<str>,
    pool: Pool,
    prepares: bool,
}

/// A connection that is taken from the pool for one call.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client,
    prepares: bool,
    records_events: bool,
}

impl Connection {
    /// Whether changes are stored as events for backends, as a parameter of a statement.
    pub(crate) fn records_events(&self) -> &bool {
        &self.records_events
    }

    /// The rows of a statement. The types of its parameters are given, so that it can be sent without being
    /// prepared, as a transaction pooler requires. Else it is prepared when a connection executes it first,
    /// which takes one more round trip.
    pub(crate) async fn rows(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        if !self.prepares {
            return self.client.query_typed(sql, parameters).await;
        }
        let statement = self.prepared(sql, parameters).await?;
        let values: Vec<_> = parameters.iter().map(|(value, _)| *value).collect();
        self.client.query(&statement, &values).await
    }

    /// The rows of a statement that a start can have prepared.
    pub(crate) async fn rows_of<const N: usize>(
        &self,
        query: &Query<N>,
        values: [&(dyn ToSql + Sync); N],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.rows(query.sql, &query.with(values)).await
    }

    /// The row of such a statement that returns at most one.
    pub(crate) async fn row_of<const N: usize>(
        &self,
        query: &Query<N>,
        values: [&(dyn ToSql + Sync); N],
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        Ok(self.rows_of(query, values).await?.pop())
    }

    /// The row of a statement that returns at most one.
    pub(crate) async fn row(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        Ok(self.rows(sql, parameters).await?.pop())
    }
}

impl Connection {
    /// The row of a statement that returns at most one, in a transaction that locks the row of a conversation
    /// first. So the statement sees what all before it have done to the conversation, and nobody changes it
    /// meanwhile.
    pub(crate) async fn row_under_lock(
        &self,
        conversation: ConversationId,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        let lock = "select from conversations where id = $1 for no key update";
        self.row_after_lock(lock, &[(&conversation.as_uuid(), Type::UUID)], sql, parameters).await
    }

    /// Executes `lock` and then `sql` in one transaction, and returns the row of `sql`. All is sent at once,
    /// which is one round trip.
    pub(crate) async fn row_after_lock(
        &self,
        lock: &str,
        locked: &[(&(dyn ToSql + Sync), Type)],
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        if self.prepares {
            // Only what is prepared is sent without waiting for an answer.
            self.prepared(lock, locked).await?;
            self.prepared(sql, parameters).await?;
        }
        let (begun, locked, done, committed) = tokio::join!(
            biased;
            self.client.batch_execute(BEGIN),
            self.rows(lock, locked),
            self.rows(sql, parameters),
            self.client.batch_execute("commit"),
        );
        begun?;
        locked?;
        let mut rows = done?;
        committed?;
        Ok(rows.pop())
    }

    async fn prepared(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Statement, tokio_postgres::Error> {
        let types: Vec<_> = parameters.iter().map(|(_, of_type)| of_type.clone()).collect();
        self.client.prepare_typed_cached(sql, &types).await
    }

    /// Prepares statements, in one round trip.
    async fn prepares(&self, statements: &[&dyn Prepare]) -> Result<(), tokio_postgres::Error> {
        if self.prepares {
            let preparing = statements.iter().map(|statement| {
                let (sql, types) = statement.text();
                self.client.prepare_typed_cached(sql, types)
            });
            try_join_all(preparing).await?;
        }
        Ok(())
    }
}

impl Store {
    /// The database at `DATABASE_URL`. If that is kept by Secrets Manager and changes, new connections go to
    /// the new URL. Events are written if `EVENTS_URL` is set.
    ///
    /// # Errors
    ///
    /// The variable is not set, or is not a URL of a database.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, Misconfigured> {
        let url = url_from_env(sdk)?;
        let parsed = url.given().map(Database::parse).transpose();
        parsed.map_err(|error| Misconfigured::Invalid(DATABASE_URL, format!("is {error}")))?;
        let records_events = environment::optional(environment::EVENTS_URL).is_some();
        Ok(Self { url, records_events, latest: Arc::default() })
    }

    /// Opens a connection and prepares statements. If that takes longer than `limit`, the connection is
    /// dropped: it may still answer.
    pub(crate) async fn prepare(&self, statements: &[&dyn Prepare], limit: Duration) -> Result<(), Failure> {
        let preparing = self.run(|connection| async move { connection.prepares(statements).await });
        match timeout(limit, preparing).await {
            Ok(done) => done,
            Err(elapsed) => {
                self.forget_connections().await;
                Err(Failure::unavailable(Dependency::Postgres, elapsed))
            }
        }
    }

    /// Takes a connection. If none can be opened, the password or the URL may have changed.
    async fn connection(&self) -> Result<Connection, Attempt> {
        let url = self.url.value().await.map_err(Attempt::Failed)?;
        let pooled = self.pooled(url).await?;
        match pooled.pool.get().await {
            Ok(client) => Ok(self.connected(client, &pooled)),
            Err(error) => {
                let url = self.url.replaced(&pooled.url).await;
                let pooled = self.pooled(url.ok_or(error)?).await?;
                let client = pooled.pool.get().await?;
                Ok(self.connected(client, &pooled))
            }
        }
    }

    fn connected(&self, client: Client, pooled: &Pooled) -> Connection {
        Connection { client, prepares: pooled.prepares, records_events: self.records_events }
    }

    async fn pooled(&self, url: Arc<str>) -> Result<Pooled, Attempt> {
        let mut latest = self.latest.lock().await;
        match &*latest {
            Some(pooled) if pooled.url == url => Ok(pooled.clone()),
            _ => {
                let unusable = |error| Attempt::Failed(Failure::unexpected(Dependency::Postgres, error));
                let pooled = open(url).map_err(|error| unusable(error.to_string()))?;
                Ok(latest.insert(pooled).clone())
            }
        }
    }

    /// Executes a call, and repeats it if its connection was dead or if it lost a race.
    pub(crate) async fn run<T, F>(&self, call: impl Fn(Connection) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        self.run_counted(call).await.map(|(done, _)| done)
    }

    /// The same. Also returns whether an earlier try of the call may have been committed.
    pub(crate) async fn run_counted<T, F>(&self, call: impl Fn(Connection) -> F) -> Result<(T, bool), Failure>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let calling = async {
            let mut repeated = false;
            for _ in 1..TRIES {
                match self.try_once(&call).await {
                    // Nothing of this try is committed.
                    Err(Attempt::LostRace(_)) => {}
                    // It may have been committed before the connection died. The next try may then lose a
                    // race against it.
                    Err(Attempt::Dead(_)) => repeated = true,
                    done => return done.map(|done| (done, repeated)).map_err(Attempt::into_failure),
                }
            }
            let done = self.try_once(&call).await;
            done.map(|done| (done, repeated)).map_err(Attempt::into_failure)
        };
        match timeout(CALL_TIMEOUT, calling).await {
            Ok(done) => done,
            Err(elapsed) => {
                self.forget_connections().await;
                Err(Failure::unavailable(Dependency::Postgres, elapsed))
            }
        }
    }

    /// Drops all pooled connections: one may still answer an abandoned call.
    async fn forget_connections(&self) {
        if let Some(pooled) = &*self.latest.lock().await {
            pooled.pool.retain(|_, _| false);
        }
    }

    async fn try_once<T, F>(&self, call: impl Fn(Connection) -> F) -> Result<T, Attempt>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let waiting = tracing::trace_span!(target: "measured", "Postgres");
        let connection = self.connection().await?;
        let began = Instant::now();
        let tried = timeout(STATEMENT_TIMEOUT, call(connection)).await;
        tracing::trace!(target: "measured", postgres_us = began.elapsed().as_micros());
        drop(waiting);
        let tried = match tried {
            Ok(done) => done.map_err(Attempt::from),
            Err(elapsed) => Err(Attempt::Unavailable(elapsed.into())),
        };
        if let Err(Attempt::Dead(_) | Attempt::Unavailable(_)) = &tried {
            // What ended this connection (a restart, a long freeze) ended the other one too. A connection
            // that has not answered in time may answer later.
            self.forget_connections().await;
        }
        tried
    }
}

/// A connection outside the pool, for migrations.
#[derive(Debug)]
pub struct Session {
    /// The client.
    pub client: tokio_postgres::Client,
    /// The task that drives the connection. It returns the error that ended it.
    pub driver: JoinHandle<Result<(), tokio_postgres::Error>>,
    /// Whether there is a transaction pooler between this and the database. It loses or leaks everything that
    /// belongs to a session, such as an advisory lock.
    pub is_pooled_by_transaction: bool,
}

impl Session {
    /// Opens a connection. The error has all details, since an operator reads it.
    ///
    /// # Errors
    ///
    /// The URL cannot be fetched or read, or the database refuses the connection.
    pub async fn open(url: &Secret) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let url = url.value().await.map_err(|failure| format!("{failure}: {}", failure.cause))?;
        let Database { mut config, tls, is_pooled_by_transaction } = Database::parse(&url)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(SESSION_CONNECT_TIMEOUT);
        }
        let (client, driver) = match tls {
            Tls::Off => {
                let (client, connection) = config.connect(NoTls).await.map_err(|error| described(&error))?;
                (client, tokio::spawn(connection))
            }
            Tls::Verified { roots } => {
                let connecting = config.connect(tls::connector(roots.as_ref())?);
                let (client, connection) = connecting.await.map_err(|error| described(&error))?;
                (client, tokio::spawn(connection))
            }
        };
        if !is_pooled_by_transaction {
            // The limit of the role is meant for requests; a migration may take longer.
            client.batch_execute("set statement_timeout = 0").await.map_err(|error| described(&error))?;
        }
        Ok(Self { client, driver, is_pooled_by_transaction })
    }
}

fn open(url: Arc<str>) -> Result<Pooled, InvalidDatabaseUrl> {
    let Database { mut config, tls, is_pooled_by_transaction } = Database::parse(&url)?;
    let connect_timeout = config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
    config.connect_timeout(connect_timeout);
    if !is_pooled_by_transaction {
        // The server gives up a little earlier than this process. Otherwise it could commit what was answered
        // as failed. It plans each statement once for all parameters: the statements are written for that,
        // and planning takes longer than executing most of them. A transaction pooler has no sessions for
        // either setting: there the role needs the time limit, and each statement is planned anew.
        let options = config.get_options().unwrap_or_default();
        let timeout = SERVER_TIMEOUT.as_millis();
        config.options(format!(
            "{options} -c statement_timeout={timeout} -c plan_cache_mode=force_generic_plan"
        ));
    }
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = match tls {
        Tls::Off => Manager::from_config(config, NoTls, recycling),
        Tls::Verified { roots } => {
            let connector = tls::connector(roots.as_ref()).map_err(InvalidDatabaseUrl)?;
            Manager::from_config(config, connector, recycling)
        }
    };
    let pool = Pool::builder(manager)
        .max_size(CONNECTIONS)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(CONNECT_TIMEOUT))
        .create_timeout(Some(connect_timeout))
        .pre_recycle(Hook::async_fn(|client, metrics| {
            Box::pin(check_if_long_idle(client, metrics.last_used()))
        }))
        .build()
        .map_err(|error| InvalidDatabaseUrl(error.to_string()))?;
    Ok(Pooled { url, pool, prepares: !is_pooled_by_transaction })
}

/// Checks a connection that has been idle for long. To check every connection would double the round trips.
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

/// Why a try failed.
enum Attempt {
    /// The statement has found the token of its caller revoked.
    Revoked,
    /// Another statement was first. A repeat sees what it has done.
    LostRace(tokio_postgres::Error),
    /// The connection was dead. Another one may not be.
    Dead(tokio_postgres::Error),
    /// The URL of the database cannot be fetched or used.
    Failed(Failure),
    /// The database cannot serve now.
    Unavailable(Box<dyn Error + Send + Sync>),
    /// The database refuses the statement.
    Unexpected(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Attempt {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(code) if code.code() == TOKEN_REVOKED => Self::Revoked,
            Some(code) if lost_race(code) => Self::LostRace(error),
            Some(code) if server_stopping(code) => Self::Dead(error),
            Some(code) if unavailable(code) => Self::Unavailable(described(&error).into()),
            None if error.is_closed() => Self::Dead(error),
            _ => Self::Unexpected(error),
        }
    }
}

impl From<PoolError> for Attempt {
    fn from(error: PoolError) -> Self {
        Self::Unavailable(match error {
            PoolError::Backend(error) => described(&error).into(),
            other => other.into(),
        })
    }
}

impl Attempt {
    fn into_failure(self) -> Failure {
        match self {
            Self::LostRace(error) | Self::Dead(error) => {
                Failure::unavailable(Dependency::Postgres, described(&error))
            }
            Self::Revoked => Failure::revoked(Dependency::Postgres),
            Self::Failed(failure) => failure,
            Self::Unavailable(cause) => Failure::unavailable(Dependency::Postgres, cause),
            Self::Unexpected(error) => Failure::unexpected(Dependency::Postgres, described(&error)),
        }
    }
}

/// Two statements conflict, and a repeat of the later one sees what the earlier one has done: two users who
/// ask for their conversation at once, locks taken in different orders, or what had been read before a wait
/// (the function `lost_race` of the database).
fn lost_race(code: &SqlState) -> bool {
    [SqlState::UNIQUE_VIOLATION, SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE]
        .contains(code)
}

/// What the function `token_revoked` of the database raises.
const TOKEN_REVOKED: &str = "SB401";

/// The server ends the connection, because it stops or was told to. A new connection may succeed at once.
fn server_stopping(code: &SqlState) -> bool {
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::IDLE_SESSION_TIMEOUT].contains(code)
}

/// Connection exceptions (08), insufficient resources (53), operator intervention (57: shutting down,
/// starting up, a statement that timed out).
fn unavailable(code: &SqlState) -> bool {
    ["08", "53", "57"].iter().any(|class| code.code().starts_with(class))
}

/// An error without the details of Postgres, which repeat the values of a row: those are private.
fn described(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
        Some(db) => {
            let constraint = db.constraint().map(|name| format!(" (constraint {name})")).unwrap_or_default();
            format!("{} {}{constraint}", db.code().code(), db.message())
        }
    }
}

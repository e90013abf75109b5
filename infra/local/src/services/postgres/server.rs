//! A Postgres server that this process runs: its cluster, its start and its end.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::error::{PostgresError, Status};
use super::find::Installation;
use super::program::run;
use crate::file_error::{At, FileError};
use crate::keeper::{Keeper, Watched};

/// Time limits of the start, including recovery, and of the stop.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

const SUPERUSER: &str = "switchboard";

/// A process of a function opens at most two connections (`CONNECTIONS` in `shared/store/src/pool.rs`).
const CONNECTIONS_OF_A_PROCESS: usize = 2;

/// Connections for people, and for other stacks that have databases on this server.
const MORE_CONNECTIONS: usize = 100;

/// A server sets memory aside for each connection, so there is a limit.
const MOST_CONNECTIONS: usize = 2_000;

/// A server that this process runs.
#[derive(Debug)]
pub(crate) struct Postgres {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
    data: PathBuf,
    log: PathBuf,
    /// A lock on the data. The operating system releases it when the process ends.
    _claim: File,
    pub(crate) url: String,
    pub(crate) port: u16,
}

impl Installation {
    /// Starts a server with the cluster `name`, which is created if it does not exist. `processes` is the
    /// number of processes of functions that may connect to it.
    pub(crate) async fn start(
        &self,
        name: &str,
        processes: usize,
        settings: &[String],
        keeper: &Keeper,
    ) -> Result<Postgres, PostgresError> {
        let data = self.home.join(name);
        let claim = claim(&self.home.join(format!("{name}.lock")))?;
        if !data.join("PG_VERSION").exists() {
            self.init(&data).await?;
        }
        self.stop_orphan(&data).await;
        let port = free_port()?;
        let log = self.home.join(format!("{name}.log"));
        let log_file = fs::File::create(&log).at(&log)?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        // No socket file: its default folder differs between builds, and nothing uses it here.
        command.args(["-c", "unix_socket_directories="]);
        let connections = (processes * CONNECTIONS_OF_A_PROCESS + MORE_CONNECTIONS).min(MOST_CONNECTIONS);
        command.args(["-c", &format!("max_connections={connections}")]);
        // If a name is given twice, Postgres takes the last value.
        for setting in settings {
            command.args(["-c", setting]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log_file.try_clone().at(&log)?)
            .stderr(log_file)
            .spawn()
            .map_err(PostgresError::NotStarted)?;
        let pid = child.id().expect("it has not been waited for");
        let watched = keeper.watch(pid);

        let url = Self::url(&data, port)?;
        let answers = async {
            // A server does not tell when it is ready.
            while tokio_postgres::connect(&url, NoTls).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let started = async {
            tokio::select! {
                status = child.wait() => Err(Status(status)),
                () = answers => Ok(()),
            }
        };
        let outcome = match timeout(START_TIMEOUT, started).await {
            Ok(Err(status)) => return Err(PostgresError::Ended { status, said: complaint(&log), log }),
            outcome => outcome,
        };
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(see_to(child, watched, stopped, log.clone()));
        let postgres = Postgres { stop, ended, data, log: log.clone(), _claim: claim, url, port };
        if outcome.is_err() {
            postgres.stop().await;
            return Err(PostgresError::NotReady { within: START_TIMEOUT, log });
        }
        Ok(postgres)
    }

    /// The name of a cluster for this run only. Clusters of killed runs are removed.
    pub(crate) fn scratch(&self) -> String {
        const PREFIX: &str = "ephemeral-";
        for entry in fs::read_dir(&self.home).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let owner =
                name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok());
            if owner.is_some_and(|pid| kill(Pid::from_raw(pid), None).is_err()) {
                remove(&entry.path());
            }
        }
        format!("{PREFIX}{}", std::process::id())
    }

    async fn init(&self, data: &Path) -> Result<(), PostgresError> {
        // Under another name until it is complete: an interrupted initdb leaves a folder that no server
        // starts from.
        let unfinished = data.with_extension("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        let mut command = self.command("initdb");
        let password_file = self.new_password(data).at(data)?;
        command.arg("-D").arg(&unfinished).arg("--pwfile").arg(password_file).args([
            "--username",
            SUPERUSER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-instructions",
        ]);
        run(command, "initdb").await?;
        fs::rename(&unfinished, data).at(data)?;
        Ok(())
    }

    /// Ends a server that an earlier run has left on this data, or waits until it has ended.
    async fn stop_orphan(&self, data: &Path) {
        let pid_file = data.join("postmaster.pid");
        // The lines of the file: process, data directory, start time, port.
        let Ok(text) = fs::read_to_string(&pid_file) else {
            return;
        };
        let lines: Vec<_> = text.lines().collect();
        let (Some(Ok(pid)), Some(Ok(port))) =
            (lines.first().map(|pid| pid.parse()), lines.get(3).map(|port| port.parse()))
        else {
            return;
        };
        let pid = Pid::from_raw(pid);
        // The process id may have been reused, so only a server that serves this data is stopped.
        if serves(port, data).await {
            let _ = kill(pid, Signal::SIGINT);
        }
        let ended = async {
            // It is not a child of this process, so its end cannot be waited for.
            while pid_file.exists() && kill(pid, None).is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        // If it has not ended by then, the new server refuses to start, and its log says why.
        let _ = timeout(STOP_TIMEOUT, ended).await;
    }

    /// Every user of this machine can reach the port, so there is a password. It is kept beside the data.
    fn new_password(&self, data: &Path) -> std::io::Result<PathBuf> {
        let path = data.with_extension("password");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
        writeln!(file, "{}", Uuid::new_v4().simple())?;
        if let Some(user) = &self.run_as {
            chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(path)
    }

    /// The URL of a server with this data.
    fn url(data: &Path, port: u16) -> Result<String, FileError> {
        let path = data.with_extension("password");
        let password = fs::read_to_string(&path).at(&path)?;
        Ok(format!("postgres://{SUPERUSER}:{}@127.0.0.1:{port}/postgres", password.trim()))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        // In a process group of its own: Ctrl-C must reach the local stack only, which stops the server last.
        command.process_group(0).current_dir(&self.home);
        if let Some(user) = &self.run_as {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }
}

impl Postgres {
    /// Stops the server cleanly.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.ended.await;
    }

    /// Stops the server and removes its data.
    pub(crate) async fn stop_and_remove(self) {
        let (data, log) = (self.data.clone(), self.log.clone());
        self.stop().await;
        remove(&data);
        for extension in ["lock", "password"] {
            remove(&data.with_extension(extension));
        }
        remove(&log);
    }
}

/// Stops the server when asked to, or reports that it has ended before.
async fn see_to(mut child: Child, watched: Watched, stopped: oneshot::Receiver<()>, log: PathBuf) {
    tokio::select! {
        biased;
        _ = stopped => {
            let _ = kill(Pid::from_raw(watched.pid.cast_signed()), Signal::SIGINT);
            if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
                // Committed data survives this.
                let _ = child.kill().await;
            }
        }
        status = child.wait() => {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            eprintln!("Postgres has ended ({status}): stop the stack and start it again; its log is {}",
                log.display());
        }
    }
}

/// Locks the data, unless another run has locked it.
fn claim(lock: &Path) -> Result<File, PostgresError> {
    let file = File::create(lock).at(lock)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PostgresError::InUse),
        Err(TryLockError::Error(error)) => Ok(Err(error).at(lock)?),
    }
}

/// Why a server did not start, from its log.
fn complaint(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let said = text.lines().filter_map(|line| line.split_once("FATAL:").or(line.split_once("DETAIL:")));
    let said: Vec<_> = said.map(|(_, words)| words.trim()).collect();
    if said.is_empty() { text.lines().last().unwrap_or_default().to_owned() } else { said.join("; ") }
}

/// A file that cannot be removed does no harm.
fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// Whether the server at `port` serves the data at `data`.
async fn serves(port: u16, data: &Path) -> bool {
    let Ok(url) = Installation::url(data, port) else { return false };
    let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await else {
        return false;
    };
    tokio::spawn(connection);
    let answer = client.query_one("show data_directory", &[]).await;
    answer.and_then(|row| row.try_get(0)).is_ok_and(|served: String| Path::new(&served) == data)
}

/// A port that is free now. If another process takes it first, the server fails to start and says so.
fn free_port() -> Result<u16, PostgresError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(PostgresError::NoPort)?;
    Ok(listener.local_addr().map_err(PostgresError::NoPort)?.port())
}

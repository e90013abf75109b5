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

use super::find::Installation;
use super::program::run;
use crate::keeper::{Keeper, Watched};

/// How long a server may take to recover, and to stop.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

const SUPERUSER: &str = "switchboard";

/// A server that this process runs.
#[derive(Debug)]
pub(crate) struct Postgres {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
    data: PathBuf,
    log: PathBuf,
    /// Held for as long as the server is ours; the operating system lets go of it however we end.
    _claim: File,
    pub(crate) url: String,
}

impl Installation {
    /// Starts a server with its data in the folder `name`, made if it is not there.
    pub(crate) async fn start(
        &self,
        name: &str,
        options: &[String],
        keeper: &Keeper,
    ) -> Result<Postgres, String> {
        let data = self.home.join(name);
        let claim = claim(&self.home.join(format!("{name}.lock")))?;
        if !data.join("PG_VERSION").exists() {
            self.init(&data).await?;
        }
        self.stop_orphan(&data).await;
        let port = free_port()?;
        let log = self.home.join(format!("{name}.log"));
        let log_file = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        // No socket file: its folder differs between builds, and nothing here uses it.
        command.args(["-c", "unix_socket_directories="]);
        for option in options {
            command.args(["-c", option]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log_file.try_clone().map_err(|error| error.to_string())?)
            .stderr(log_file)
            .spawn()
            .map_err(|error| format!("postgres cannot be started: {error}"))?;
        let pid = child.id().expect("it has not been waited for");
        let watched = keeper.watch(pid);

        let url = Self::url(&data, port)?;
        let answers = async {
            // A server tells nobody when it is ready; it has to be asked.
            while tokio_postgres::connect(&url, NoTls).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let started = async {
            tokio::select! {
                status = child.wait() => {
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    Err(format!("postgres ended at once ({status})"))
                }
                () = answers => Ok(()),
            }
        };
        let outcome = match timeout(START_TIMEOUT, started).await {
            Ok(Err(reason)) => {
                return Err(format!("{reason}: {} (its log is {})", complaint(&log), log.display()));
            }
            outcome => outcome,
        };
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(see_to(child, watched, stopped, log.clone()));
        let postgres = Postgres { stop, ended, data, log: log.clone(), _claim: claim, url };
        if outcome.is_err() {
            postgres.stop().await;
            return Err(format!(
                "postgres did not get ready within {} s; its log is {}",
                START_TIMEOUT.as_secs(),
                log.display()
            ));
        }
        Ok(postgres)
    }

    /// The name of a cluster for this run alone. Those of runs that were killed are removed.
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

    async fn init(&self, data: &Path) -> Result<(), String> {
        // Under another name until it is whole: an interrupted initdb leaves a folder that no server starts
        // from.
        let unfinished = data.with_extension("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        let mut command = self.command("initdb");
        let password_file =
            self.new_password(data).map_err(|error| format!("{}: {error}", data.display()))?;
        command.arg("-D").arg(&unfinished).arg("--pwfile").arg(password_file).args([
            "--username",
            SUPERUSER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-instructions",
        ]);
        run(command, "initdb").await?;
        fs::rename(&unfinished, data).map_err(|error| format!("{}: {error}", data.display()))
    }

    /// Ends a server that still holds the data, left by a run that could not stop it, or waits until it has
    /// ended.
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
        // The number may be somebody else's by now: only who says that it serves this data is asked to stop.
        if serves(port, data).await {
            let _ = kill(pid, Signal::SIGINT);
        }
        let ended = async {
            // It is not our child, so its end cannot be waited for.
            while pid_file.exists() && kill(pid, None).is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        // If it has not ended by then, the new server refuses to start and its log says why.
        let _ = timeout(STOP_TIMEOUT, ended).await;
    }

    /// Everybody on this machine can reach the port, so a password is asked for. It is kept beside the data.
    fn new_password(&self, data: &Path) -> std::io::Result<PathBuf> {
        let path = data.with_extension("password");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
        writeln!(file, "{}", Uuid::new_v4().simple())?;
        if let Some(user) = &self.run_as {
            chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(path)
    }

    /// Where a server with this data is reached.
    fn url(data: &Path, port: u16) -> Result<String, String> {
        let path = data.with_extension("password");
        let password = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(format!("postgres://{SUPERUSER}:{}@127.0.0.1:{port}/postgres", password.trim()))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        // A group of its own: Ctrl-C in the terminal is for the local stack, which stops the server last.
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

/// Stops the server cleanly when it is time, or says that it has ended before.
async fn see_to(mut child: Child, watched: Watched, stopped: oneshot::Receiver<()>, log: PathBuf) {
    tokio::select! {
        biased;
        _ = stopped => {
            let _ = kill(Pid::from_raw(watched.pid.cast_signed()), Signal::SIGINT);
            if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
                // What is committed survives this too.
                let _ = child.kill().await;
            }
        }
        status = child.wait() => {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            eprintln!("Postgres has ended ({status}): stop the stack and start it again; its log is {}", log.display());
        }
    }
}

/// Takes hold of the data, unless another run has it.
fn claim(lock: &Path) -> Result<File, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", lock.display());
    let file = File::create(lock).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("the database is in use by another cargo dev: stop that one, or choose another --data-dir"
                .to_owned())
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Why a server did not start, in its own words.
fn complaint(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let said = text.lines().filter_map(|line| line.split_once("FATAL:").or(line.split_once("DETAIL:")));
    let said: Vec<_> = said.map(|(_, words)| words.trim()).collect();
    if said.is_empty() { text.lines().last().unwrap_or_default().to_owned() } else { said.join("; ") }
}

/// What cannot be removed is in nobody's way.
fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// Whether the server at `port` has its data at `data`.
async fn serves(port: u16, data: &Path) -> bool {
    let Ok(url) = Installation::url(data, port) else { return false };
    let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await else {
        return false;
    };
    tokio::spawn(connection);
    let answer = client.query_one("show data_directory", &[]).await;
    answer.and_then(|row| row.try_get(0)).is_ok_and(|served: String| Path::new(&served) == data)
}

/// Free at this moment; should somebody else take it first, the server says so and the start fails.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

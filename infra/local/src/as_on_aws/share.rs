//! The share of a processor that the memory of a function buys, and the freeze between events.
//!
//! Control groups are a few files: `cgroups-rs` would bring a D-Bus client with it.

use std::fs::{create_dir, read_dir, read_to_string, remove_dir, write};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use uuid::Uuid;

use super::bills::Bills;

/// The memory that buys one processor, in MB (Lambda Developer Guide, "Configure Lambda function memory").
const MB_OF_A_PROCESSOR: u64 = 1769;

/// The period in which a function gets its share, in microseconds.
const PERIOD: u64 = 20_000;

/// The mounts of control groups of both versions.
const VERSION_1: &str = "/sys/fs/cgroup/cpu";
const VERSION_2: &str = "/sys/fs/cgroup";

/// Gives functions their shares, and keeps what their events would be billed.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    /// The control group of the stack, where there can be one.
    group: Option<Arc<Group>>,
    bills: Arc<Bills>,
}

/// The control group of a stack.
#[derive(Debug)]
struct Group {
    path: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug)]
enum Version {
    One,
    Two,
}

/// The processor of a process of a function.
#[derive(Debug)]
pub(crate) struct Processor {
    process_group: Pid,
    memory_mb: u64,
    shares: Shares,
    /// The control group of the process, once it has one.
    limited: Option<PathBuf>,
}

impl Shares {
    /// Makes a control group for this stack. Where that is not possible, the error says why, and the shares
    /// are left out.
    pub(crate) fn new() -> (Self, Option<io::Error>) {
        let bills = Arc::default();
        match Group::create() {
            Ok(group) => (Self { group: Some(Arc::new(group)), bills }, None),
            Err(error) => (Self { group: None, bills }, Some(error)),
        }
    }

    /// Prints the bill of a stack whose functions have been killed, and removes its control group.
    pub(crate) async fn end(&self) {
        if let Some(table) = self.bills.table() {
            eprint!("{table}");
        }
        let Some(group) = &self.group else { return };
        // Tried again and again, since nothing tells when a killed process has left its group.
        for _ in 0..100 {
            if remove(&group.path).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The processor of a process that was just started, in a process group of its own.
    pub(crate) fn processor(&self, pid: u32, memory_mb: u32) -> Processor {
        let process_group = Pid::from_raw(pid.cast_signed());
        Processor { process_group, memory_mb: memory_mb.into(), shares: self.clone(), limited: None }
    }
}

impl Group {
    fn create() -> io::Result<Self> {
        let one = Path::new(VERSION_1).join(own_path("cpu"));
        if one.join("cpu.shares").exists() {
            return Ok(Self { path: create_in(&one)?, version: Version::One });
        }
        // Below the root, since any other group may have groups or processes, but not both.
        let two = Path::new(VERSION_2);
        write(two.join("cgroup.subtree_control"), "+cpu")?;
        let group = Self { path: create_in(two)?, version: Version::Two };
        write(group.path.join("cgroup.subtree_control"), "+cpu").inspect_err(|_| {
            let _ = remove_dir(&group.path);
        })?;
        Ok(group)
    }

    /// Makes a control group with the share of so much memory, and moves a process there.
    fn limit(&self, process: Pid, memory_mb: u64) -> io::Result<PathBuf> {
        let path = self.path.join(Uuid::new_v4().to_string());
        create_dir(&path)?;
        let quota = PERIOD * memory_mb / MB_OF_A_PROCESSOR;
        let settings = match self.version {
            Version::One => {
                vec![("cpu.cfs_period_us", PERIOD.to_string()), ("cpu.cfs_quota_us", quota.to_string())]
            }
            Version::Two => vec![("cpu.max", format!("{quota} {PERIOD}"))],
        };
        let mut settings = settings.into_iter().chain([("cgroup.procs", process.to_string())]);
        let limited = settings.try_for_each(|(file, value)| write(path.join(file), value));
        match limited {
            Ok(()) => Ok(path),
            Err(error) => {
                let _ = remove_dir(&path);
                Err(error)
            }
        }
    }
}

/// Makes the control group of this stack, and removes those of stacks that were killed.
fn create_in(parent: &Path) -> io::Result<PathBuf> {
    const PREFIX: &str = "switchboard-";
    for left in read_dir(parent)?.flatten() {
        let name = left.file_name();
        let of = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        // A signal of number 0 only asks whether there is such a process.
        if of.is_some_and(|pid| kill(Pid::from_raw(pid), None).is_err()) {
            let _ = remove(&left.path());
        }
    }
    let path = parent.join(format!("{PREFIX}{}", std::process::id()));
    create_dir(&path)?;
    Ok(path)
}

/// Removes a group of groups. One with processes cannot be removed.
fn remove(path: &Path) -> io::Result<()> {
    read_dir(path)?.flatten().for_each(|group| drop(remove_dir(group.path())));
    remove_dir(path)
}

/// The path of this process in the hierarchy of a controller.
fn own_path(controller: &str) -> String {
    let all = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = all.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|one| one == controller).then_some(path)
    });
    own.unwrap_or_default().trim_start_matches('/').to_owned()
}

impl Processor {
    /// Limits the process to its share, when it has started: Lambda lets it start with all processors.
    pub(crate) fn limit(&mut self) {
        if let (None, Some(group)) = (&self.limited, &self.shares.group) {
            match group.limit(self.process_group, self.memory_mb) {
                Ok(path) => self.limited = Some(path),
                Err(error) => eprintln!("a function has all processors: {error}"),
            }
        }
    }

    /// Adds an event to the bill, and the start of the process if it was the first one.
    pub(crate) fn bill(&self, function: &str, duration: Duration, start: Option<Duration>) {
        self.shares.bills.add(function, self.memory_mb, duration, start);
    }

    /// Stops the process, which waits for an event.
    pub(crate) fn freeze(&self) {
        let _ = killpg(self.process_group, Signal::SIGSTOP);
    }

    /// Continues the process, which gets an event.
    pub(crate) fn thaw(&self) {
        let _ = killpg(self.process_group, Signal::SIGCONT);
    }
}

/// The process has ended.
impl Drop for Processor {
    fn drop(&mut self) {
        if let Some(path) = &self.limited {
            let _ = remove_dir(path);
        }
    }
}

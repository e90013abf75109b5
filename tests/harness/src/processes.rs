//! The processes of a stack, as the operating system sees them.

use std::collections::BTreeSet;
use std::process::Command;

use nix::sys::signal::kill;
use nix::unistd::Pid;

/// The processes that `parent` started, with the names of their programs.
pub fn children(parent: u32) -> Vec<(u32, String)> {
    let all = if cfg!(target_os = "linux") { from_proc() } else { from_ps() };
    all.into_iter().filter(|(_, of, _)| *of == parent).map(|(pid, _, name)| (pid, name)).collect()
}

/// Whether a process is no more. A zombie is none: it runs nothing.
pub fn has_ended(pid: u32) -> bool {
    let zombie = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')));
    zombie || kill(Pid::from_raw(pid.cast_signed()), None).is_err()
}

/// The sockets of this machine that lead to a port on it over IPv4, by their inode. Linux alone tells.
pub fn sockets_to(port: u16) -> BTreeSet<u64> {
    if !cfg!(target_os = "linux") {
        return BTreeSet::new();
    }
    let remote = format!("0100007F:{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|of| of.get(2) == Some(&remote.as_str())).filter_map(|of| of.get(9)?.parse().ok()).collect()
}

/// Those that a process has open.
pub fn sockets_of(pid: u32) -> BTreeSet<u64> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// Process, parent and program, without needing any program that a small machine may lack.
fn from_proc() -> Vec<(u32, u32, String)> {
    let entries = std::fs::read_dir("/proc").expect("Linux has it").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
        // The name in `stat` is cut at 15 characters.
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let program = command.split('\0').next()?.rsplit('/').next()?.to_owned();
        Some((pid, parent, program))
    })
    .collect()
}

fn from_ps() -> Vec<(u32, u32, String)> {
    let output =
        Command::new("ps").args(["-Ao", "pid=,ppid=,comm="]).output().expect("every other Unix has it");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (pid, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((pid, parent, words.next()?.rsplit('/').next()?.to_owned()))
        })
        .collect()
}

/// Raises this process's limit of open files as far as it goes: each connection is one.
pub fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

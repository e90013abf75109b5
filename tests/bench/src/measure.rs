//! Durations, and what the operating system reports about processes.

use std::time::Duration;

use serde::Serialize;

/// Clock ticks per second in `/proc`: 100 on every Linux machine (`man 5 proc`).
const TICKS: f64 = 100.0;

/// The median and the extremes of durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Times {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
}

impl Times {
    pub(crate) fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |share: f64| {
            let last = all.len().saturating_sub(1);
            all.get((last as f64 * share).round() as usize).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        let mean = all.iter().sum::<Duration>().as_secs_f64() * 1e3 / (all.len().max(1) as f64);
        Self { mean, p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }
}

/// The parts of the stack that are measured separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The local stack: the gateway, the Runtime API, and DynamoDB, which is in the same process.
    Gateway,
    Function,
    Postgres,
}

/// One process of the stack.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) kind: Kind,
    pid: u32,
    /// Processor time until now, in seconds.
    cpu: f64,
    memory: Memory,
}

/// MB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident memory, including what is shared.
    pub(crate) resident: f64,
    /// Resident memory with shared pages divided among their processes. Only this can be summed: Postgres's
    /// buffers would count once for each backend.
    share: f64,
}

/// The usage of all processes of the stack.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) Vec<Process>);

impl Usage {
    /// The usage of a process and all its descendants.
    pub(crate) fn now(stack: u32) -> Self {
        let mut found = vec![stack];
        let all: Vec<(u32, u32, f64, String)> = processes();
        let mut next = 0;
        while let Some(&parent) = found.get(next) {
            found.extend(all.iter().filter(|(_, of, ..)| *of == parent).map(|(pid, ..)| *pid));
            next += 1;
        }
        let processes = all.into_iter().filter(|(pid, ..)| found.contains(pid)).map(|(pid, _, cpu, name)| {
            let kind = match name.as_str() {
                _ if pid == stack => Kind::Gateway,
                "local" => Kind::Gateway,
                "postgres" | "postmaster" => Kind::Postgres,
                _ => Kind::Function,
            };
            // A process of Postgres has one thread, for which the kernel tells nanoseconds.
            let cpu = if kind == Kind::Postgres { ran(pid).unwrap_or(cpu) } else { cpu };
            Process { kind, pid, cpu, memory: memory(pid) }
        });
        Self(processes.collect())
    }

    /// Seconds of CPU since `before`, of the processes that are running now. Processes that have ended
    /// meanwhile are not counted.
    pub(crate) fn cpu_since(&self, before: &Self, kind: Kind) -> f64 {
        let had = |pid| before.0.iter().find(|process| process.pid == pid).map_or(0.0, |of| of.cpu);
        self.of(kind).map(|process| process.cpu - had(process.pid)).sum()
    }

    /// MB of all of a kind.
    pub(crate) fn resident(&self, kind: Kind) -> f64 {
        self.of(kind).map(|process| process.memory.share).sum()
    }

    /// MB of the largest.
    pub(crate) fn largest(&self, kind: Kind) -> f64 {
        self.of(kind).map(|process| process.memory.resident).fold(0.0, f64::max)
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Process> {
        self.0.iter().filter(move |process| process.kind == kind)
    }
}

/// Seconds of CPU that one process has used.
pub(crate) fn cpu(pid: u32) -> f64 {
    stat(pid).map_or(0.0, |(_, cpu, _)| cpu)
}

/// Seconds that the first thread of a process has run.
fn ran(pid: u32) -> Option<f64> {
    let schedstat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    Some(schedstat.split_whitespace().next()?.parse::<f64>().ok()? / 1e9)
}

pub(crate) fn memory(pid: u32) -> Memory {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let of = |name| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    };
    Memory { resident: of("Rss:"), share: of("Pss:") }
}

fn processes() -> Vec<(u32, u32, f64, String)> {
    let entries = std::fs::read_dir("/proc").expect("the bench is for Linux: it reads /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| stat(pid).map(|(parent, cpu, name)| (pid, parent, cpu, name))).collect()
}

/// The parent, seconds of CPU, and the name.
fn stat(pid: u32) -> Option<(u32, f64, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((
        fields.get(1)?.parse().ok()?,
        (ticks(11)? + ticks(12)?) / TICKS,
        head.split_once('(')?.1.to_owned(),
    ))
}

//! `--watch`: rebuilds functions whose sources change. The next event goes to the new binary, and connections
//! stay open.
//!
//! Processes run hard links to the binaries of cargo, which replaces its files while a process may be
//! starting.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use notify_debouncer_full::notify::{self, EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{
    DebounceEventResult, DebouncedEvent, Debouncer, RecommendedCache, new_debouncer,
};
use tokio::sync::mpsc;

use crate::compile::{self, Built};
use crate::file_error::{At, FileError};
use crate::lambda::{Host, Lambda};
use crate::template::Function;

/// Editors write a file in several steps, so changes are collected for this long.
const QUIET: Duration = Duration::from_millis(200);

/// Why the sources cannot be watched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    #[error("{0}")]
    NoWatcher(notify::Error),
    #[error("{} cannot be watched: {reason}", folder.display())]
    Folder { folder: PathBuf, reason: notify::Error },
    #[error(transparent)]
    File(#[from] FileError),
}

/// Changes to the sources, since before the first build.
pub(crate) struct Changes {
    events: mpsc::UnboundedReceiver<DebounceEventResult>,
    workspace: PathBuf,
    template: PathBuf,
    /// Dropping it ends the watching.
    _watcher: Debouncer<RecommendedWatcher, RecommendedCache>,
}

impl Changes {
    /// Watches the workspace of `built`, except hidden files, cargo's target folder, and `data_dir`.
    pub(crate) fn watch(built: &Built, data_dir: &Path, template: &Path) -> Result<Self, WatchError> {
        let (changes, events) = mpsc::unbounded_channel();
        let mut watcher = new_debouncer(QUIET, None, move |result: DebounceEventResult| {
            // If there is no receiver, the stack is stopping.
            let _ = changes.send(result);
        })
        .map_err(WatchError::NoWatcher)?;
        let mut watch = |folder: &Path, mode| {
            let watching = watcher.watch(folder, mode);
            watching.map_err(|reason| WatchError::Folder { folder: folder.to_owned(), reason })
        };
        watch(&built.workspace, RecursiveMode::NonRecursive)?;
        let entries = std::fs::read_dir(&built.workspace).at(&built.workspace)?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !hidden && !built.binaries.starts_with(&path) && !data_dir.starts_with(&path)
            {
                watch(&path, RecursiveMode::Recursive)?;
            }
        }
        eprintln!("watching {} for changes", built.workspace.display());
        let template = template.canonicalize().at(template)?;
        Ok(Self { events, workspace: built.workspace.clone(), template, _watcher: watcher })
    }

    /// Waits for a change.
    async fn next(&mut self) -> Option<()> {
        loop {
            let mut results = vec![self.events.recv().await?];
            while let Ok(more) = self.events.try_recv() {
                results.push(more);
            }
            let mut changed = false;
            for result in results {
                match result {
                    Ok(events) => {
                        let events: Vec<_> = events.into_iter().filter(is_change).collect();
                        if events.iter().flat_map(|event| &event.paths).any(|path| *path == self.template) {
                            eprintln!("{} has changed: start again to run it", self.template.display());
                        }
                        let paths = events.iter().flat_map(|event| &event.paths);
                        changed |= events.iter().any(|event| event.need_rescan())
                            || paths.into_iter().any(|path| self.is_source(path));
                    }
                    Err(errors) => errors.iter().for_each(|error| eprintln!("watching: {error}")),
                }
            }
            if changed {
                return Some(());
            }
        }
    }

    /// Whether a path is a source: hidden files in the root and the lock file are not.
    fn is_source(&self, path: &Path) -> bool {
        let in_root = path.parent() == Some(&self.workspace);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !in_root || (!name.starts_with('.') && name != "Cargo.lock" && !path.is_dir())
    }
}

/// To read a file is an event too, and cargo reads all files.
fn is_change(event: &DebouncedEvent) -> bool {
    event.need_rescan()
        || matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_))
}

/// The binaries that processes run, by generation.
#[derive(Debug)]
pub(crate) struct Generations {
    folder: PathBuf,
    count: u32,
    /// For each function, the state of its binary in cargo's folder, and the generation that it runs in.
    seen: Vec<(Function, Option<Mark>, u32)>,
}

type Mark = (SystemTime, u64);

impl Generations {
    /// Makes the first generation, with all functions. Also returns its folder.
    pub(crate) fn begin(
        folder: PathBuf,
        functions: &[Function],
        built: &Built,
    ) -> std::io::Result<(Self, PathBuf)> {
        // A killed stack may have left some.
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let seen = functions.iter().map(|function| (function.clone(), None, 0)).collect();
        let mut generations = Self { folder, count: 0, seen };
        let (_, first) = generations.next(built)?;
        Ok((generations, first))
    }

    /// Makes a folder with the binaries that have changed.
    fn next(&mut self, built: &Built) -> std::io::Result<(Vec<Function>, PathBuf)> {
        let folder = self.folder.join(self.count.to_string());
        let mut changed = Vec::new();
        for (at, (function, seen, _)) in self.seen.iter().enumerate() {
            let binary = built.binaries.join(&function.binary);
            let file = std::fs::metadata(&binary)?;
            let mark = (file.modified()?, file.len());
            if *seen != Some(mark) {
                std::fs::create_dir_all(&folder)?;
                link(&binary, &folder.join(&function.binary))?;
                changed.push((at, mark));
            }
        }
        // Recorded last, so that a failure above is tried again with the next change.
        let functions = changed.iter().map(|(at, _)| self.seen[*at].0.clone()).collect();
        for (at, mark) in changed {
            self.seen[at].1 = Some(mark);
            self.seen[at].2 = self.count;
        }
        self.count += 1;
        Ok((functions, folder))
    }

    /// Removes the folders of generations that no function runs any more.
    fn forget(&self) {
        for generation in 0..self.count {
            if self.seen.iter().all(|(_, _, runs)| *runs != generation) {
                // Most have been removed before.
                let _ = std::fs::remove_dir_all(self.folder.join(generation.to_string()));
            }
        }
    }
}

/// Links a binary, or copies it if it is on another file system. Several functions may share a binary.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        return Ok(());
    }
    std::fs::hard_link(from, to).or_else(|_| std::fs::copy(from, to).map(drop))
}

/// Rebuilds and swaps until the stack stops.
pub(crate) async fn run(mut changes: Changes, mut generations: Generations, profile: String, host: Host) {
    let functions: Vec<_> = generations.seen.iter().map(|(function, ..)| function.clone()).collect();
    while let Some(()) = changes.next().await {
        let built = match compile::build(&functions, &profile).await {
            Ok(built) => built,
            Err(reason) => {
                eprintln!("{reason}; the functions go on as they were");
                continue;
            }
        };
        match generations.next(&built) {
            Ok((changed, _)) if changed.is_empty() => {}
            Ok((changed, folder)) => {
                swap(&host, &changed, &folder).await;
                generations.forget();
            }
            Err(error) => eprintln!("the new binaries cannot be used: {error}"),
        }
    }
}

/// Swaps the functions that are invoked at the start first: the others may need their work.
async fn swap(host: &Host, changed: &[Function], folder: &Path) {
    let (first, rest): (Vec<_>, Vec<_>) = changed.iter().partition(|function| function.invoke_at_start);
    let names = |functions: &[&Function]| -> Vec<String> {
        functions.iter().map(|function| function.name.clone()).collect()
    };
    host.replace(&names(&first), folder);
    for function in &first {
        if let Err(reason) = Lambda::Host(host.clone()).invoke_at_start(&function.name).await {
            eprintln!("{reason}");
        }
    }
    host.replace(&names(&rest), folder);
    let all: Vec<_> = changed.iter().map(|function| function.name.as_str()).collect();
    eprintln!("swapped {}", all.join(", "));
}

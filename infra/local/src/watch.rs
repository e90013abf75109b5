//! `--watch`: builds the functions again when their sources change, and runs the new ones from their next
//! event on. Connections stay open.
//!
//! The binaries that run are links of our own: cargo replaces its files while a process may be starting.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use notify_debouncer_full::notify::{EventKind, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, DebouncedEvent, new_debouncer};
use tokio::sync::mpsc;

use crate::compile::{self, Built};
use crate::lambda::{Host, Lambda};
use crate::stack::invoke_at_start;
use crate::template::Function;

/// Editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(200);

/// The binaries that run, generation after generation.
#[derive(Debug)]
pub(crate) struct Generations {
    folder: PathBuf,
    count: u32,
    /// Of each function's binary in cargo's folder: what distinguishes it from the next one.
    seen: Vec<(Function, Option<Mark>)>,
}

type Mark = (SystemTime, u64);

impl Generations {
    /// The first one, with all functions; and the folder that they are in.
    pub(crate) fn begin(
        folder: PathBuf,
        functions: &[Function],
        built: &Built,
    ) -> std::io::Result<(Self, PathBuf)> {
        // What a stack that was killed has left.
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let seen = functions.iter().map(|function| (function.clone(), None)).collect();
        let mut generations = Self { folder, count: 0, seen };
        let (_, first) = generations.next(built)?;
        Ok((generations, first))
    }

    /// The functions that were built anew, in a folder of their own.
    fn next(&mut self, built: &Built) -> std::io::Result<(Vec<Function>, PathBuf)> {
        let folder = self.folder.join(self.count.to_string());
        self.count += 1;
        std::fs::create_dir_all(&folder)?;
        let mut changed = Vec::new();
        for (function, seen) in &mut self.seen {
            let binary = built.binaries.join(&function.binary);
            let file = std::fs::metadata(&binary)?;
            let mark = Some((file.modified()?, file.len()));
            if *seen != mark {
                *seen = mark;
                changed.push(function.clone());
                link(&binary, &folder.join(&function.binary))?;
            }
        }
        Ok((changed, folder))
    }
}

/// Several functions may be of one binary. Links cannot lead to another file system, copies can.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        return Ok(());
    }
    std::fs::hard_link(from, to).or_else(|_| std::fs::copy(from, to).map(drop))
}

/// Watches until the stack stops.
pub(crate) async fn run(
    mut generations: Generations,
    built: Built,
    template: PathBuf,
    release: bool,
    host: Host,
) -> Result<(), String> {
    let (changes, mut changed) = mpsc::unbounded_channel();
    let mut watcher = new_debouncer(QUIET, None, move |result: DebounceEventResult| {
        // Without a receiver the stack is stopping.
        let _ = changes.send(result.unwrap_or_default());
    })
    .map_err(|error| error.to_string())?;
    for folder in source_folders(&built).map_err(|error| error.to_string())? {
        let watching = watcher.watch(&folder, RecursiveMode::Recursive);
        watching.map_err(|error| format!("{} cannot be watched: {error}", folder.display()))?;
    }
    eprintln!("watching {} for changes", built.workspace.display());
    let functions: Vec<_> = generations.seen.iter().map(|(function, _)| function.clone()).collect();
    while let Some(mut events) = changed.recv().await {
        while let Ok(more) = changed.try_recv() {
            events.extend(more);
        }
        let paths: Vec<_> =
            events.iter().filter(|event| is_change(event)).flat_map(|event| &event.paths).collect();
        if paths.iter().any(|path| path.ends_with(&template)) {
            eprintln!("{} has changed: start again to run it", template.display());
        }
        if paths.is_empty() {
            continue;
        }
        if let Err(reason) = compile::build(&functions, release).await {
            eprintln!("{reason}; the functions go on as they were");
            continue;
        }
        match generations.next(&built) {
            Ok((changed, _)) if changed.is_empty() => {}
            Ok((changed, folder)) => swap(&host, &changed, &folder).await,
            Err(error) => eprintln!("the new binaries cannot be used: {error}"),
        }
    }
    Ok(())
}

/// Those that are invoked at the start go first: what the others need may be their work.
async fn swap(host: &Host, changed: &[Function], folder: &Path) {
    let (first, rest): (Vec<_>, Vec<_>) = changed.iter().partition(|function| function.invoke_at_start);
    let names = |functions: &[&Function]| -> Vec<String> {
        functions.iter().map(|function| function.name.clone()).collect()
    };
    host.replace(&names(&first), folder);
    for function in &first {
        if let Err(reason) = invoke_at_start(&Lambda::Host(host.clone()), &function.name).await {
            eprintln!("{reason}");
        }
    }
    host.replace(&names(&rest), folder);
    let all: Vec<_> = changed.iter().map(|function| function.name.as_str()).collect();
    eprintln!("swapped {}", all.join(", "));
}

/// Reading a file is an event too, and cargo reads all of them.
fn is_change(event: &DebouncedEvent) -> bool {
    matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_))
}

/// What is in the workspace, but for what is hidden and what cargo writes.
fn source_folders(built: &Built) -> std::io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(&built.workspace)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() && !hidden && !built.binaries.starts_with(&path) {
            folders.push(path);
        }
    }
    Ok(folders)
}

//! Builds the functions with cargo, in one call for each folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use crate::template::Function;

/// The result of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Built {
    /// The folder with the binaries.
    pub(crate) binaries: PathBuf,
    /// The folder of their workspace.
    pub(crate) workspace: PathBuf,
}

/// Why functions cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error("cargo cannot be run: {0}")]
    NoCargo(std::io::Error),
    #[error("cargo does not say where it builds {}: {reason}", folder.display())]
    NoMetadata { folder: PathBuf, reason: serde_json::Error },
    #[error("{0} is of another cargo workspace than the others")]
    OtherWorkspace(String),
    /// Cargo has printed why.
    #[error("the functions cannot be built: see above")]
    Failed,
}

/// Builds the binaries of `functions`. Cargo's own messages go to the terminal.
pub(crate) async fn build(functions: &[Function], profile: &str) -> Result<Built, CompileError> {
    let built = locate(functions, profile).await?;
    let mut folders: BTreeMap<&Path, BTreeSet<&str>> = BTreeMap::new();
    for function in functions {
        folders.entry(&function.code).or_default().insert(&function.binary);
    }
    for (folder, binaries) in folders {
        cargo_build(folder, &binaries, profile).await?;
    }
    Ok(built)
}

/// The folders of the binaries of `functions`, built or not.
pub(crate) async fn locate(functions: &[Function], profile: &str) -> Result<Built, CompileError> {
    let mut built = BTreeMap::new();
    for function in functions {
        if !built.contains_key(&function.code) {
            built.insert(&function.code, ask_cargo(&function.code, profile).await?);
        }
        if built.values().any(|other| *other != built[&function.code]) {
            return Err(CompileError::OtherWorkspace(function.name.clone()));
        }
    }
    Ok(built.into_values().next().unwrap_or_default())
}

async fn cargo_build(folder: &Path, binaries: &BTreeSet<&str>, profile: &str) -> Result<(), CompileError> {
    let mut cargo = cargo(folder);
    // Packages are not named, so that features are resolved over the whole workspace, as in every other
    // build.
    cargo.args(["build", "--profile", profile]);
    cargo.args(binaries.iter().flat_map(|binary| ["--bin", binary]));
    let status = cargo.status().await.map_err(CompileError::NoCargo)?;
    match status.success() {
        true => Ok(()),
        false => Err(CompileError::Failed),
    }
}

async fn ask_cargo(folder: &Path, profile: &str) -> Result<Built, CompileError> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
        workspace_root: PathBuf,
    }
    let output = cargo(folder)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .stderr(Stdio::null())
        .output()
        .await
        .map_err(CompileError::NoCargo)?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|reason| CompileError::NoMetadata { folder: folder.to_owned(), reason })?;
    // Cargo's own profiles share two folders. Any other profile has a folder of its name.
    let folder = match profile {
        "dev" | "test" => "debug",
        "bench" => "release",
        own => own,
    };
    Ok(Built { binaries: metadata.target_directory.join(folder), workspace: metadata.workspace_root })
}

fn cargo(folder: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    cargo
}

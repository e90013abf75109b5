//! Finds a Postgres server, and the folder for its data.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::User;

use super::error::PostgresError;
use super::install::{has_server, install};
use crate::file_error::{At, FileError};

/// The user that the server runs as if root runs the stack: Postgres refuses to run as root.
const UNPRIVILEGED: &str = "nobody";

/// The binaries, the folder and the user of a server.
#[derive(Debug)]
pub(crate) struct Installation {
    /// The folder with `initdb` and `postgres`.
    pub(crate) binaries: PathBuf,
    /// The folder of the cluster.
    pub(super) home: PathBuf,
    /// The user that the server runs as, if not the current one.
    pub(super) run_as: Option<User>,
}

/// Finds the server's binaries, or installs them in the folder of the cluster.
pub(crate) async fn find(data_dir: &Path) -> Result<Installation, PostgresError> {
    let (home, run_as) = home(data_dir)?;
    let binaries = match installed().into_iter().find(|folder| has_server(folder)) {
        Some(found) => found,
        None => install(&home, run_as.as_ref()).await?,
    };
    Ok(Installation { binaries, home, run_as })
}

/// The folder of the cluster, and the user that the server runs as. If root runs the stack, that is another
/// user. If that user cannot reach `data_dir` (below root's home, for example), the folder is in
/// `/var/lib/switchboard`.
fn home(data_dir: &Path) -> Result<(PathBuf, Option<User>), PostgresError> {
    make_folder(data_dir)?;
    let inside = data_dir.join("postgres");
    if !nix::unistd::geteuid().is_root() {
        make_folder(&inside)?;
        return Ok((inside, None));
    }
    let user = User::from_name(UNPRIVILEGED).ok().flatten().ok_or(PostgresError::NoUser(UNPRIVILEGED))?;
    let open_to_all =
        |folder: &Path| fs::metadata(folder).is_ok_and(|it| it.permissions().mode() & 0o001 != 0);
    let home = match data_dir.ancestors().all(open_to_all) {
        true => inside,
        false => {
            let name = data_dir.to_string_lossy().trim_matches('/').replace('/', "-");
            Path::new("/var/lib/switchboard").join(name)
        }
    };
    make_folder(&home)?;
    chown(&home, Some(user.uid.as_raw()), Some(user.gid.as_raw())).at(&home)?;
    Ok((home, Some(user)))
}

fn make_folder(folder: &Path) -> Result<(), FileError> {
    fs::create_dir_all(folder).at(folder)
}

/// The folders where a server may be installed: those of `PATH`, of Debian's packages (the newest version
/// first), and of Homebrew.
fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.filter_map(Result::ok).map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    debian.sort();
    debian.reverse();
    let homebrew = ["/opt/homebrew/opt", "/usr/local/opt"].into_iter().flat_map(|prefix| {
        ["postgresql", "postgresql@18", "postgresql@17", "postgresql@16", "postgresql@15"]
            .map(|formula| Path::new(prefix).join(formula).join("bin"))
    });
    std::env::split_paths(&path).chain(debian).chain(homebrew).collect()
}

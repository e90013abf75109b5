//! A file or a folder that cannot be used.

use std::io;
use std::path::{Path, PathBuf};

/// What the file system says of a path.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub(crate) struct FileError {
    path: PathBuf,
    reason: io::Error,
}

/// Adds the path to an error of the file system.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T, FileError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, FileError> {
        self.map_err(|reason| FileError { path: path.to_owned(), reason })
    }
}

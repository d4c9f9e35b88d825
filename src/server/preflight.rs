//! Checks the files before the database driver opens them. The driver has the same error text for a directory, a
//! missing permission and a full disk, and it names no file.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _},
    path::Path,
};

use super::start_error::StartError;
use pointsman_config::Config;
use pointsman_private_files as private_files;

/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Checks by its file and folder whether the embedded database can be opened or created. Creates the folder where it is
/// missing.
///
/// # Errors
/// [`StartError::File`] with the path and what is wrong with it.
pub(super) fn check_database_file(config: &Config) -> Result<(), StartError> {
    let Some(path) = config.database.url.sqlite_path() else {
        return Ok(());
    };
    make_folder_of(path)?;
    let failed = |source| StartError::File {
        what: "the database",
        path: path.to_owned(),
        source,
    };
    // For writing, because a database that can only be read cannot be used.
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => check_content(file).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Creates the folder of `file`.
///
/// # Errors
/// [`StartError::File`].
pub(super) fn make_folder_of(file: &Path) -> Result<(), StartError> {
    private_files::make_folder_of(file).map_err(|source| StartError::File {
        what: "the folder",
        path: file.parent().unwrap_or(file).to_owned(),
        source: match source.kind() {
            io::ErrorKind::AlreadyExists => io::Error::from(io::ErrorKind::NotADirectory),
            _ => source,
        },
    })
}

/// An empty file is a new database.
fn check_content(mut file: fs::File) -> io::Result<()> {
    let mut start = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start)?;
    if start.is_empty() || start == MAGIC {
        Ok(())
    } else {
        Err(io::Error::other("it is no SQLite database"))
    }
}

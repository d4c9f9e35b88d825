//! Files and folders that only the account that runs the server may read: the database holds every event and the
//! hashes of passwords, and the key file opens what is sealed in it.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// The permissions of a file: its owner reads and writes.
const FILE_MODE: u32 = 0o600;
/// The permissions of a folder: its owner lists and changes it.
const FOLDER_MODE: u32 = 0o700;
/// The permissions of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Makes the folder of this file, and the folders above it that are missing, for the owner alone. One that exists is
/// left as it is.
///
/// # Errors
/// When a folder cannot be made.
pub(crate) fn make_folder_of(file: &Path) -> io::Result<()> {
    match folder_of(file) {
        Some(folder) => DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder),
        None => Ok(()),
    }
}

/// Opens the file for writing; where it does not exist it is made empty, for the owner alone.
///
/// # Errors
/// When the file can be neither opened nor made.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE_MODE)
        .open(path)
}

/// Makes the file, empty and for the owner alone, unless it exists. An existing one is not opened: where SQLite has it
/// open in this process, closing another handle would give up SQLite's locks.
///
/// # Errors
/// When the file cannot be made.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path);
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Says in the log where other accounts may use the file. Permissions that an admin has chosen are not changed.
pub(crate) fn warn_if_shared(file: &Path) {
    warn(file, FILE_MODE);
}

/// Says in the log where other accounts may use the folder of this file.
pub(crate) fn warn_if_folder_shared(file: &Path) {
    warn(folder_of(file).unwrap_or(Path::new(".")), FOLDER_MODE);
}

fn warn(path: &Path, wanted: u32) {
    let mode = path.metadata().map_or(0, |found| found.mode() & 0o7777);
    if mode & OTHERS != 0 {
        let path = path.display();
        log::warn!(path:%, mode:% = format_args!("{mode:04o}");
            "other local users may use this: chmod {wanted:04o} {path}");
    }
}

fn folder_of(file: &Path) -> Option<&Path> {
    file.parent().filter(|folder| !folder.as_os_str().is_empty())
}

//! Files and folders that only the account that runs the server may read: the database holds every event and the
//! hashes of passwords, and the key file opens what is sealed in it.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The permissions of a file: its owner reads and writes.
const FILE_MODE: u32 = 0o600;
/// The permissions of a folder: its owner lists and changes it.
const FOLDER_MODE: u32 = 0o700;
/// The permissions of everybody but the owner.
const OTHERS: u32 = 0o077;
/// In a folder with this bit, accounts that may write to it can remove only their own files.
const STICKY: u32 = 0o1000;

/// Makes the folder of this file, and the folders above it that are missing, for the owner alone. One that exists is
/// left as it is.
///
/// # Errors
/// When a folder cannot be made.
pub fn make_folder_of(file: &Path) -> io::Result<()> {
    match folder_of(file) {
        Some(folder) => DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder),
        None => Ok(()),
    }
}

/// Opens the file for writing; where it does not exist it is made empty, for the owner alone.
///
/// # Errors
/// When the file can be neither opened nor made.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE_MODE)
        .open(path)
}

/// Makes the file, empty and for the owner alone, unless it exists; also where the path is a link to it. An existing
/// one is not opened: where SQLite has it open in this process, closing another handle would give up SQLite's locks.
///
/// # Errors
/// When the file cannot be made.
pub fn make(path: &Path) -> io::Result<()> {
    if path.try_exists()? {
        Ok(())
    } else {
        open(path).map(drop)
    }
}

/// Says in the log where other accounts may use the file. Permissions that an admin has chosen are not changed.
pub fn warn_if_shared(file: &Path) {
    if let Some((path, mode)) = shared(file) {
        let path = quoted(&path);
        log::warn!(path:%, mode:% = format_args!("{mode:04o}");
            "other local users may use this file: chmod {FILE_MODE:04o} {path}");
    }
}

/// Says in the log where other accounts may use the folder of this file. A folder with the sticky bit, as `/tmp`, is
/// there to be shared.
pub fn warn_if_folder_shared(file: &Path) {
    let folder = folder_of(file).unwrap_or(Path::new("."));
    if let Some((path, mode)) = shared(folder).filter(|(_, mode)| mode & STICKY == 0) {
        let path = quoted(&path);
        log::warn!(path:%, mode:% = format_args!("{mode:04o}");
            "other local users may use the folder of the database; if it is for the database alone: \
             chmod {FOLDER_MODE:04o} {path}");
    }
}

/// The whole path and the permissions of what more accounts than the owner's may use.
fn shared(path: &Path) -> Option<(PathBuf, u32)> {
    let mode = path.metadata().ok()?.mode() & 0o7777;
    (mode & OTHERS != 0).then(|| (path.canonicalize().unwrap_or_else(|_| path.to_owned()), mode))
}

/// The path as one word for a shell, quoted where that is needed.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+@:".contains(letter);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn folder_of(file: &Path) -> Option<&Path> {
    file.parent().filter(|folder| !folder.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        for (path, word) in [
            ("/data/pointsman.db-wal", "/data/pointsman.db-wal"),
            ("/my data/x", "'/my data/x'"),
            ("/it's $HOME", "'/it'\\''s $HOME'"),
        ] {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }

    #[test]
    fn what_a_link_leads_to_is_made_for_the_owner_alone() {
        let folder = std::env::temp_dir().join(format!("pointsman-files-{}", std::process::id()));
        make_folder_of(&folder.join("link")).unwrap();
        let (link, file) = (folder.join("link"), folder.join("file"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        make(&link).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, FILE_MODE);
        std::fs::write(&file, "kept").unwrap();
        make(&link).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn who_may_use_a_file_is_told_by_its_mode() {
        assert_eq!(shared(Path::new("/nowhere/at/all")), None);
        let (path, mode) = shared(Path::new("/tmp")).unwrap();
        assert_eq!((path, mode & STICKY), ("/tmp".into(), STICKY), "{mode:o}");
    }
}

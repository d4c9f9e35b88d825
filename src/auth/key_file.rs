//! The master key on disk: made once, kept beside the embedded database.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::entropy;
use crate::private_files;

/// The length of the master key.
pub const MASTER_KEY_BYTES: usize = 64;

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{}: a key file has {MASTER_KEY_BYTES} bytes, this one has {length}; restore it from a backup, or \
         remove it when nothing has been sealed with it yet",
        path.display()
    )]
    BadLength { path: PathBuf, length: usize },
}

/// Reads the key, or makes one that only the owner may read (mode 0600). A key that is returned is on disk:
/// what is sealed with it can be opened after a power loss.
///
/// # Errors
/// When the file cannot be read or written, or has another length. It is never replaced.
pub fn load_or_create(path: &Path) -> Result<[u8; MASTER_KEY_BYTES], KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::read(path) {
        Ok(bytes) => checked(path, &bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => match create(path) {
            Ok(key) => Ok(key),
            // Another process was faster; its key is the one that counts.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                checked(path, &fs::read(path).map_err(failed)?)
            }
            Err(error) => Err(failed(error)),
        },
        Err(error) => Err(failed(error)),
    }
}

fn checked(path: &Path, bytes: &[u8]) -> Result<[u8; MASTER_KEY_BYTES], KeyFileError> {
    bytes.try_into().map_err(|_| KeyFileError::BadLength {
        path: path.to_owned(),
        length: bytes.len(),
    })
}

fn create(path: &Path) -> io::Result<[u8; MASTER_KEY_BYTES]> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    private_files::make_folder_of(path)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let key = entropy::bytes();
    file.write_all(&key)?;
    file.sync_all()?;
    // The name of a new file is only durable with its folder.
    File::open(folder)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::clock::Clock;

    /// A folder of the test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("pointsman-key-{}", Clock.new_uuid()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let folder = Folder::new();
        let path = folder.0.join("new/master.key");
        let key = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap(), key);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_of_another_length_is_refused_and_left_alone() {
        let folder = Folder::new();
        let path = folder.0.join("master.key");
        fs::write(&path, [1; 63]).unwrap();
        let error = load_or_create(&path).unwrap_err();
        assert!(error.to_string().contains("this one has 63"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), [1; 63]);
    }

    #[test]
    fn a_path_that_is_a_folder_is_refused_by_name() {
        let folder = Folder::new();
        let error = load_or_create(&folder.0).unwrap_err();
        assert!(error.to_string().contains("pointsman-key-"), "{error}");
    }
}

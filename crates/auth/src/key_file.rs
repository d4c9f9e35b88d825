//! The master key on disk: made once, kept beside the embedded database.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use fs4::fs_std::FileExt;

use super::entropy;
use pointsman_private_files as private_files;

/// The length of the master key.
pub const MASTER_KEY_BYTES: usize = 64;

/// Why there is no master key.
#[warn(missing_docs)]
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// It is no key file: a key has [`MASTER_KEY_BYTES`].
    #[error(
        "{}: a key file has {MASTER_KEY_BYTES} bytes, this one has {length}; restore it from a backup, or \
         remove it when nothing has been sealed with it yet",
        path.display()
    )]
    BadLength {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
}

/// Reads the key, or makes one that only the owner may read (mode 0600). A key that is returned is on disk:
/// what is sealed with it can be opened after a power loss.
///
/// An empty file is what a process leaves that is killed while it makes the key: it gets one.
///
/// # Errors
/// When the file cannot be read or written, or has another length. It is never replaced.
pub fn load_or_create(path: &Path) -> Result<[u8; MASTER_KEY_BYTES], KeyFileError> {
    match load(path)? {
        Some(key) => Ok(key),
        None => checked(path, &create(path).map_err(failed(path))?),
    }
}

/// Reads the key. None where there is no file, or an empty one.
///
/// # Errors
/// When the file cannot be read, or has another length.
pub fn load(path: &Path) -> Result<Option<[u8; MASTER_KEY_BYTES]>, KeyFileError> {
    match fs::read(path) {
        Ok(bytes) if bytes.is_empty() => Ok(None),
        Ok(bytes) => checked(path, &bytes).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |source| KeyFileError::Io { path, source }
}

fn checked(path: &Path, bytes: &[u8]) -> Result<[u8; MASTER_KEY_BYTES], KeyFileError> {
    bytes.try_into().map_err(|_| KeyFileError::BadLength {
        path: path.to_owned(),
        length: bytes.len(),
    })
}

/// Makes a key. If another process was faster, the key of that process is used.
fn create(path: &Path) -> io::Result<Vec<u8>> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    private_files::make_folder_of(path)?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    // Only the holder of the lock makes a key. The lock is released with the file, however the process ends.
    FileExt::lock_exclusive(&file)?;
    let mut key = Vec::new();
    file.read_to_end(&mut key)?;
    if key.is_empty() {
        key = entropy::bytes::<MASTER_KEY_BYTES>().to_vec();
        // In one write: a kill leaves all of it or nothing.
        file.write_all(&key)?;
    }
    file.sync_all()?;
    // The name of a new file is only durable with its folder.
    File::open(folder)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use pointsman_clock::Clock;

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
    fn an_empty_file_as_a_killed_process_leaves_it_gets_a_key() {
        let folder = Folder::new();
        let path = folder.0.join("master.key");
        fs::write(&path, []).unwrap();
        let key = load_or_create(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), key);
        assert_eq!(load_or_create(&path).unwrap(), key);
    }

    #[test]
    fn all_who_make_a_key_at_the_same_time_get_the_same() {
        let folder = Folder::new();
        let path = folder.0.join("master.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| load_or_create(&path).unwrap()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::read(&path).unwrap(), keys[0]);
    }

    #[test]
    fn a_path_that_is_a_folder_is_refused_by_name() {
        let folder = Folder::new();
        let error = load_or_create(&folder.0).unwrap_err();
        assert!(error.to_string().contains("pointsman-key-"), "{error}");
    }
}

//! The folder of the database of a test router: in memory, where the system has a file system there.

use std::path::{Path, PathBuf};

use pointsman_clock::Clock;

/// A file system in memory on Linux.
const SHARED_MEMORY: &str = "/dev/shm";

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// # Panics
    /// Where it cannot be made.
    pub(super) fn make() -> Self {
        let name = format!("pointsman-test-{}", Clock.new_uuid());
        let in_memory = Path::new(SHARED_MEMORY).join(&name);
        if std::fs::create_dir(&in_memory).is_ok() {
            return Self(in_memory);
        }
        let on_disk = std::env::temp_dir().join(&name);
        let made = std::fs::create_dir(&on_disk);
        made.unwrap_or_else(|error| panic!("{} cannot be made: {error}", on_disk.display()));
        Self(on_disk)
    }

    pub(super) fn database_url(&self) -> String {
        format!("sqlite://{}", self.0.join("test.db").display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that cannot be removed is left behind: it is a temporary one.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

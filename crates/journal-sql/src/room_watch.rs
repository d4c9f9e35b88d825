//! Gives up what keeps a snapshot of an embedded database before its disk is so full that the server refuses events.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    care_error::{CareError, at},
    disk_watch::folder_of,
};

/// How often the room is measured. On a fast disk some ten MiB of events are written in this time.
const EVERY: Duration = Duration::from_millis(250);

/// The room on the disk of an embedded database. While a snapshot is kept, the write-ahead log grows by what is
/// committed.
#[derive(Clone, Debug)]
pub(crate) struct RoomWatch {
    folder: PathBuf,
    least: u64,
}

impl RoomWatch {
    /// Watches the disk of this database, on which the server refuses events below `min_free_bytes`. A quarter of that
    /// is kept beside.
    pub(crate) fn of(database: &Path, min_free_bytes: u64) -> Self {
        Self {
            folder: folder_of(database),
            least: min_free_bytes + min_free_bytes / 4,
        }
    }

    /// # Errors
    /// [`CareError::GivenUp`] where the disk is nearly full.
    pub(crate) fn check(&self) -> Result<(), CareError> {
        let free = fs4::available_space(&self.folder).map_err(at(&self.folder))?;
        if free < self.least {
            return Err(CareError::GivenUp(free));
        }
        Ok(())
    }

    /// Returns only when the disk is nearly full.
    pub(crate) async fn until_short(&self) -> CareError {
        loop {
            if let Err(error) = self.check() {
                return error;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Refuses a file of so many bytes where the disk has no room for it.
    pub(crate) fn has_room_for(&self, path: &Path, bytes: u64) -> Result<(), CareError> {
        let folder = folder_of(path);
        let device = |folder: &Path| folder.metadata().map(|data| data.dev()).map_err(at(folder));
        let beside_database = device(&folder)? == device(&self.folder)?;
        let needed = bytes + if beside_database { self.least } else { 0 };
        let free = fs4::available_space(&folder).map_err(at(&folder))?;
        if free < needed {
            let path = path.to_owned();
            return Err(CareError::NoRoom { path, needed, free });
        }
        Ok(())
    }
}

//! Whether the journal can take events: a flag for publishers, a reason for operators.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// Why events are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageTrouble {
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// SQLite only: it lets one connection write at a time.
    #[error(
        "another process holds the write lock of the database file; end its transaction, or the process, which \
         fuser names"
    )]
    Locked,
    /// Settlements are still written, so that deliveries go on.
    #[error(
        "the disk of the database has {free_mib} MiB left, less than database.min_free_bytes; make room there"
    )]
    DiskFull { free_mib: u64 },
    #[error("the journal has ended; the server must be restarted")]
    Ended,
}

/// Written by the writer and by the watch of the disk; read by all threads.
#[derive(Debug, Default)]
pub struct Health {
    short_of_space: AtomicBool,
    troubles: Mutex<Troubles>,
}

#[derive(Debug, Default)]
struct Troubles {
    writer: Option<StorageTrouble>,
    disk: Option<StorageTrouble>,
}

impl Health {
    /// Whether events are taken. An error is why not; trouble of the writer counts before trouble of the disk.
    pub fn state(&self) -> Result<(), StorageTrouble> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = troubles.writer.as_ref().or(troubles.disk.as_ref());
        trouble.map_or(Ok(()), |trouble| Err(trouble.clone()))
    }

    /// Whether the disk has too little room for more events.
    pub fn is_short_of_space(&self) -> bool {
        self.short_of_space.load(Ordering::Relaxed)
    }

    pub fn set_writer(&self, trouble: Option<StorageTrouble>) {
        self.troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .writer = trouble;
    }

    pub fn set_disk(&self, trouble: Option<StorageTrouble>) {
        self.short_of_space.store(trouble.is_some(), Ordering::Relaxed);
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).disk = trouble;
    }
}

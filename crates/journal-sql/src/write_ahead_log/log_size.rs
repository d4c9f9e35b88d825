//! The state of SQLite's write-ahead log, as a checkpoint reports it.

/// The most bytes of the log, unless a reader holds a snapshot or one transaction writes more.
pub(crate) const BOUND_BYTES: u64 = 64 * 1024 * 1024;
/// A page with the header of its frame.
const FRAME_BYTES: u64 = 4096 + 24;

/// The mode of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckpointMode {
    /// Copies nothing; only reports the state of the log.
    Noop,
    /// Copies as many pages as readers allow, without waiting.
    Passive,
}

/// The row that `PRAGMA wal_checkpoint` returns: whether the checkpoint was blocked, the frames of the log, and the
/// frames that are copied. Both counts are -1 without a log (sqlite.org/pragma.html).
pub(crate) type CheckpointRow = (i64, i64, i64);

impl CheckpointMode {
    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::Noop => "PRAGMA wal_checkpoint(NOOP)",
            Self::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        }
    }
}

/// The size of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogSize {
    pub(super) bytes: u64,
    /// The part that is not yet copied into the database file.
    pub(super) left: u64,
}

impl LogSize {
    pub(crate) fn of((_, frames, copied): CheckpointRow) -> Self {
        let bytes = |frames: i64| u64::try_from(frames).unwrap_or(0) * FRAME_BYTES;
        Self {
            bytes: bytes(frames),
            left: bytes(frames - copied),
        }
    }
}

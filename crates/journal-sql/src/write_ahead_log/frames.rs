//! What SQLite says of its write-ahead log.

/// What the log has at most unless somebody keeps a snapshot or writes more in one transaction.
pub(crate) const BOUND_BYTES: u64 = 64 * 1024 * 1024;
/// A page, and the header of its frame.
const FRAME_BYTES: u64 = 4096 + 24;

/// How SQLite is asked to copy the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Not at all: it only tells what is there.
    Noop,
    /// As much as no reader needs, without waiting for anybody.
    Passive,
}

/// What SQLite answers: whether somebody else was at it, the frames of the log, and those copied; -1 where there is no
/// log (sqlite.org/pragma.html).
pub(crate) type FramesRow = (i64, i64, i64);

impl Mode {
    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::Noop => "PRAGMA wal_checkpoint(NOOP)",
            Self::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        }
    }
}

/// What is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frames {
    pub(super) bytes: u64,
    /// What of it is not copied.
    pub(super) left: u64,
}

impl Frames {
    pub(crate) fn of((_, frames, copied): FramesRow) -> Self {
        let bytes = |frames: i64| u64::try_from(frames).unwrap_or(0) * FRAME_BYTES;
        Self {
            bytes: bytes(frames),
            left: bytes(frames - copied),
        }
    }
}

//! What retention deletes, in pieces that hold the writer up for a millisecond or two.
//!
//! A planner beside the writer decides by reading which rows nobody needs any more. The writer deletes a piece between
//! two batches, in a transaction that does not wait for the disk: a crash may bring a piece back, and the planner finds
//! it again.

use std::time::Duration;

use pointsman_domain::{
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    seq::Seq,
    timestamp::Timestamp,
};
use uuid::Uuid;

/// Rows that one transaction deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The log of the workspace up to this position. Ids of events that handlers have published are kept apart.
    Events { workspace: WorkspaceId, through: Seq },
    /// Attempts after the first key, up to the second, that were made before this time.
    Attempts {
        after: Option<AttemptKey>,
        through: AttemptKey,
        made_before: Timestamp,
    },
    /// Attempts of events of this workspace after the first key, up to the second.
    AttemptsOfWorkspace {
        workspace: WorkspaceId,
        after: Option<AttemptKey>,
        through: AttemptKey,
    },
    /// What so many rows of the table still hold of an event whose payload was erased. They are counted with its
    /// erasure.
    Erased {
        workspace: WorkspaceId,
        event: EventId,
        table: ErasedTable,
        limit: u64,
    },
    /// So many rows of a workspace that is deleted, of any table. Where none is left, its mark goes as well, so that no
    /// row is deleted at all from then on.
    Workspace { workspace: WorkspaceId, limit: u64 },
    /// Letters after the first position, up to the second, that are not being replayed.
    DeadLetters {
        after: Option<LetterPosition>,
        through: LetterPosition,
    },
    /// Idempotency keys that were used at this time or before, at most so many.
    IdempotencyKeys { used_by: Timestamp, limit: u64 },
    /// Sessions that ended at this time or before, at most so many.
    Sessions { ended_by: Timestamp, limit: u64 },
    /// Ids of events that handlers had published before this time, at most so many.
    DerivedIds { published_before: Timestamp, limit: u64 },
    /// Messages of the chat in one channel up to this id.
    ChatMessages {
        workspace: WorkspaceId,
        channel: String,
        through: Uuid,
    },
    /// Spans that ended before everything that is in the log. They belong to this workspace.
    Spans { workspace: WorkspaceId, ids: Vec<Uuid> },
    /// An installation that is closed and that nothing names any more: at most so many of its spans and, once they are
    /// gone, the rest of it.
    Installation { id: InstallationId, limit: u64 },
}

/// Where something of an event may be, beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErasedTable {
    DeadLetters,
    Attempts,
    Retries,
    ChatMessages,
}

impl ErasedTable {
    pub const ALL: [Self; 4] = [
        Self::DeadLetters,
        Self::Attempts,
        Self::Retries,
        Self::ChatMessages,
    ];
}

/// The primary key of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptKey {
    pub event: EventId,
    pub installation: InstallationId,
    pub id: Uuid,
}

/// When a letter failed, and its id.
pub type LetterPosition = (Timestamp, DeadLetterId);

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    pub rows: u64,
    /// How long the writer was held up.
    pub took: Duration,
    /// Events that the writer has recorded since it began.
    pub recorded: u64,
}

//! The parts that make a journal.

use std::{fmt, sync::Arc};

use pointsman_clock::Clock;
use pointsman_domain::id::WorkspaceId;

use crate::{
    corrupt::CorruptRows,
    health::Health,
    notice::NoticeSink,
    storage::{Connection, LogReader, Storage},
};

/// The parts that make a journal.
pub struct JournalParts {
    pub storage: Box<dyn Storage>,
    /// The writer connection. It holds the claim.
    pub connection: Arc<dyn Connection>,
    /// The highest generation that any lane has settled under.
    pub last_generation: i64,
    /// The workspaces that are deleted and of which rows are left.
    pub deleted: Vec<WorkspaceId>,
    pub log: Arc<dyn LogReader>,
    pub notices: NoticeSink,
    pub health: Arc<Health>,
    pub corrupt: Arc<CorruptRows>,
    pub clock: Clock,
}

impl fmt::Debug for JournalParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalParts")
            .field("last_generation", &self.last_generation)
            .finish_non_exhaustive()
    }
}

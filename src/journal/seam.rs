//! What a simulation puts in the place of the database.

use std::sync::Arc;

use sea_orm::DatabaseConnection;

use super::{Journal, NoticeSink, Reader, open::Writing, reader::Gate};
pub(crate) use super::{
    batch::Batch,
    change::{Change, InstallationWork},
    command::{JobError, WriteJob},
    effects::{Aside, StagedEffect},
    idempotency::{KeyName, StoredKey},
    storage::{Connection, DueRetries, HouseKept, LogReader, Outcome, Storage},
};
use pointsman_clock::Clock;

/// Where a simulated journal keeps things, as its process finds it.
pub(crate) struct Opened {
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) connection: Arc<dyn Connection>,
    pub(crate) last_generation: i64,
    pub(crate) log: Arc<dyn LogReader>,
}

impl Journal {
    /// A journal over `opened`, whose writer is the future: it ends when the journal is stopped. There is no SQL
    /// behind it.
    pub(crate) fn over_simulated(
        opened: Opened,
        notices: NoticeSink,
        clock: Clock,
    ) -> (Self, impl Future<Output = ()>) {
        let writing = Writing {
            storage: opened.storage,
            connection: opened.connection,
            last_generation: opened.last_generation,
        };
        let (journal, writer) = Self::over(
            writing,
            Reader::over(DatabaseConnection::default(), Gate::default()),
            opened.log,
            notices,
            clock,
        );
        (journal, writer.run())
    }
}

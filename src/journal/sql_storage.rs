//! The journal over an SQL database.

use std::{collections::HashMap, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::{DatabaseConnection, DbBackend, DbErr};

use super::{
    ChangeError, OpenError, attempts,
    batch::Batch,
    change::{Change, InstallationWork},
    claim::{self, FileClaim},
    command::{AttemptRecord, JobError, WriteJob},
    database::DatabaseUrl,
    installations::{self, InstallationView},
    letters,
    notice::Notice,
    reads, recovery,
    storage::{Connection, DueRetries, LogReader, Outcome, Storage},
    transaction::in_transaction,
    write_ahead_log::WriteAheadLog,
};
use crate::{
    clock::Clock,
    domain::{
        event::PlatformEvent,
        id::{EventId, InstallationId, WorkspaceId},
        lane::Attachment,
        seq::Seq,
        timestamp::Timestamp,
    },
};

/// The database, for the writer.
pub(super) struct SqlStorage {
    pub(super) url: DatabaseUrl,
    pub(super) write_ahead_log: Arc<WriteAheadLog>,
    /// Held until the last write.
    pub(super) claim: Option<FileClaim>,
    pub(super) clock: Clock,
}

impl SqlStorage {
    pub(super) fn over(&self, connection: DatabaseConnection) -> Arc<dyn Connection> {
        Arc::new(SqlConnection {
            connection,
            write_ahead_log: Arc::clone(&self.write_ahead_log),
            clock: self.clock,
        })
    }
}

impl Storage for SqlStorage {
    fn connect(&self) -> BoxFuture<'static, Result<Arc<dyn Connection>, OpenError>> {
        let (url, write_ahead_log, clock) = (self.url.clone(), Arc::clone(&self.write_ahead_log), self.clock);
        async move {
            let connection: Arc<dyn Connection> = Arc::new(SqlConnection {
                connection: connect(&url).await?,
                write_ahead_log,
                clock,
            });
            Ok(connection)
        }
        .boxed()
    }

    fn close(self: Box<Self>, connection: Option<Arc<dyn Connection>>) -> BoxFuture<'static, ()> {
        async move {
            self.write_ahead_log.stop();
            if let Some(connection) = connection {
                connection.close().await;
            }
            drop(self.claim);
        }
        .boxed()
    }
}

/// A new writer connection that holds the claim, when no other can be committing any more.
pub(super) async fn connect(url: &DatabaseUrl) -> Result<DatabaseConnection, OpenError> {
    let connection = url.writer().await?;
    claim::take_on(&connection).await?;
    wait_for_predecessor(&connection).await?;
    Ok(connection)
}

/// Waits until a lost connection of this process cannot be committing any more. On PostgreSQL the claim has
/// waited for the end of its session.
async fn wait_for_predecessor(connection: &DatabaseConnection) -> Result<(), DbErr> {
    if connection.get_database_backend() != DbBackend::Sqlite {
        return Ok(());
    }
    // It would still hold the lock that this takes.
    match in_transaction::<(), DbErr>(connection, async |_| Ok(())).await {
        Outcome::Committed(()) => Ok(()),
        _ => Err(DbErr::Custom("the database is locked".to_owned())),
    }
}

struct SqlConnection {
    connection: DatabaseConnection,
    write_ahead_log: Arc<WriteAheadLog>,
    clock: Clock,
}

impl Connection for SqlConnection {
    fn head(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Seq, DbErr>> {
        reads::head(&self.connection, workspace).boxed()
    }

    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Outcome<(), DbErr>> {
        in_transaction(&self.connection, async |transaction| {
            batch.write(transaction).await
        })
        .boxed()
    }

    fn change_installation(
        &self,
        workspace: WorkspaceId,
        work: InstallationWork,
    ) -> BoxFuture<'_, Outcome<InstallationView, ChangeError>> {
        let clock = self.clock;
        in_transaction(&self.connection, async move |transaction| match work {
            InstallationWork::Install(new) => {
                installations::install(transaction, workspace, new, clock.now()).await
            }
            InstallationWork::Change(id, change) => {
                installations::change(transaction, workspace, id, change, clock).await
            }
        })
        .boxed()
    }

    fn change(&self, change: Change) -> BoxFuture<'_, Outcome<Option<Notice>, ChangeError>> {
        in_transaction(&self.connection, async move |transaction| {
            letters::make(transaction, change).await
        })
        .boxed()
    }

    fn run<'a>(&'a self, job: &'a mut dyn WriteJob) -> BoxFuture<'a, Outcome<(), JobError>> {
        in_transaction(&self.connection, async move |transaction| {
            job.run(transaction).await
        })
        .boxed()
    }

    fn attach(&self, installation: InstallationId) -> BoxFuture<'_, Result<Attachment, DbErr>> {
        recovery::attach(&self.connection, installation).boxed()
    }

    fn places_of(&self, ids: Vec<EventId>) -> BoxFuture<'_, Result<HashMap<EventId, Seq>, DbErr>> {
        async move { recovery::places_of(&self.connection, &ids).await }.boxed()
    }

    fn write_attempts<'a>(&'a self, rows: &'a [AttemptRecord]) -> BoxFuture<'a, Outcome<(), DbErr>> {
        attempts::write_all(&self.connection, rows).boxed()
    }

    fn tend(&self) -> BoxFuture<'_, ()> {
        self.write_ahead_log.bound(&self.connection).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            claim::release(&self.connection).await;
            // Nobody can act on a failure to close.
            let _ = self.connection.clone().close().await;
        }
        .boxed()
    }
}

/// The pool for reads, as the engine uses it.
pub(super) struct SqlReader(pub(super) DatabaseConnection);

impl LogReader for SqlReader {
    fn head(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Seq, DbErr>> {
        reads::head(&self.0, workspace).boxed()
    }

    fn views(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Vec<InstallationView>, ChangeError>> {
        installations::views(&self.0, workspace).boxed()
    }

    fn page(
        &self,
        workspace: WorkspaceId,
        after: Seq,
        through: Seq,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<PlatformEvent>>, DbErr>> {
        reads::page(&self.0, workspace, after, through, limit).boxed()
    }

    fn due_retries(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        due_by: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<DueRetries, DbErr>> {
        reads::due_retries(&self.0, workspace, installation, due_by, limit).boxed()
    }

    fn workspaces_with_work(&self, due_by: Timestamp) -> BoxFuture<'_, Result<Vec<WorkspaceId>, DbErr>> {
        reads::workspaces_with_work(&self.0, due_by).boxed()
    }

    fn earliest_retry_after(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, DbErr>> {
        reads::earliest_retry_after(&self.0, after).boxed()
    }
}

//! The ports of the journal, implemented over an SQL database.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr};

use super::{
    apply::apply,
    attach,
    batch_driver::{BatchDriver, Writing},
    causes,
    claim::{self, FileClaim},
    database::{BUSY_TIMEOUT, DatabaseUrl},
    due,
    effects::{self, EffectThread, SlowEffectsConnection},
    engine_clock, erasure,
    fault::is_fault_of_the_data,
    idempotency, installations, letters,
    reader::Readers,
    reads, recovery,
    retention::{self, Deletions},
    session::{limit_waits, set_timeouts},
    transaction::{Around, begin_of_work, end, in_transaction, in_transaction_of_work, is_closed},
    work_guard::WorkGuard,
    workspace_deletion,
    write_ahead_log::WriteAheadLog,
};
use pointsman_clock::Clock;
use pointsman_domain::{
    event::PlatformEvent,
    event_key::EventKey,
    id::{EventId, InstallationId, WorkspaceId},
    installation::InstallationView,
    lane::Attachment,
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::{
    AttemptRecord, ChangeError, CorruptRows, DueRow, EffectOf, Notice, Rested,
    change::{Change, InstallationWork},
    effects::StagedEffect,
    prune::Piece,
    storage::{
        Batch, ConnectError, Connection, DueRetries, JobError, KeyName, LogReader, Outcome, SlowEffects,
        Storage, StoredKey, WRITE_LOCK_IS_HELD, WriteJob, Written,
    },
};
use pointsman_panics::Caught;

/// The storage of the writer: opens writer connections and holds the claim.
pub(super) struct SqlStorage {
    pub(super) parts: WriterParts,
    /// Held until the last connection is closed.
    pub(super) claim: Option<FileClaim>,
}

/// What every writer connection needs.
#[derive(Clone)]
pub(super) struct WriterParts {
    pub(super) url: DatabaseUrl,
    /// Distinguishes the connections of this process from those of others.
    pub(super) owner: Arc<str>,
    pub(super) write_ahead_log: Arc<WriteAheadLog>,
    pub(super) corrupt: Arc<CorruptRows>,
    pub(super) effect_thread: Arc<EffectThread>,
    pub(super) effect_timeout: Duration,
    pub(super) deletions: Arc<Deletions>,
    pub(super) slow_effects: Option<Arc<SlowEffectsConnection>>,
    pub(super) clock: Clock,
}

impl SqlStorage {
    pub(super) fn over(&self, connection: DatabaseConnection, work_guard: WorkGuard) -> Arc<dyn Connection> {
        let parts = self.parts.clone();
        Arc::new(SqlConnection {
            connection,
            batch_driver: BatchDriver::new(),
            work_guard,
            parts,
        })
    }
}

impl Storage for SqlStorage {
    fn connect(&self) -> BoxFuture<'static, Result<Arc<dyn Connection>, ConnectError>> {
        let parts = self.parts.clone();
        async move {
            let work_guard = WorkGuard::new(parts.clock);
            let connection = parts.url.writer(&parts.owner, &work_guard).await?;
            claim::take_over(&connection, &parts.owner).await?;
            set_timeouts(&connection).await?;
            wait_for_predecessor(&connection).await?;
            Ok(Arc::new(SqlConnection {
                connection,
                batch_driver: BatchDriver::new(),
                work_guard,
                parts,
            }) as Arc<dyn Connection>)
        }
        .boxed()
    }

    fn close(self: Box<Self>, connection: Option<Arc<dyn Connection>>) -> BoxFuture<'static, ()> {
        async move {
            self.parts.write_ahead_log.stop();
            if let Some(connection) = connection {
                connection.close().await;
            }
            drop(self.claim);
        }
        .boxed()
    }
}

/// Waits until a lost connection of this process can no longer commit. On PostgreSQL taking the claim has waited for
/// the end of its session.
async fn wait_for_predecessor(connection: &DatabaseConnection) -> Result<(), DbErr> {
    if connection.get_database_backend() != DbBackend::Sqlite {
        return Ok(());
    }
    // A transaction of the lost connection would hold the write lock that this one takes. The wait is short, so that an
    // operator soon sees that it is in vain; the writer tries again.
    set_busy_timeout(connection, Duration::from_secs(1)).await?;
    let locked = in_transaction::<(), DbErr>(connection, async |_| Ok(())).await;
    set_busy_timeout(connection, BUSY_TIMEOUT).await?;
    match locked {
        Outcome::Committed(()) => Ok(()),
        _ => Err(DbErr::Custom(WRITE_LOCK_IS_HELD.to_owned())),
    }
}

/// How long a statement on SQLite waits for the locks of other processes.
async fn set_busy_timeout(connection: &DatabaseConnection, time: Duration) -> Result<(), DbErr> {
    let sql = format!("PRAGMA busy_timeout = {}", time.as_millis());
    connection.execute_unprepared(&sql).await.map(drop)
}

struct SqlConnection {
    /// A pool of one connection. `batch_driver` may have checked it out; see [`SqlConnection::connection`].
    connection: DatabaseConnection,
    batch_driver: BatchDriver,
    work_guard: WorkGuard,
    parts: WriterParts,
}

impl Drop for SqlConnection {
    /// A connection that is thrown away writes nothing any more, also where work goes on using it.
    fn drop(&mut self) {
        self.work_guard.condemn();
    }
}

impl SqlConnection {
    /// The writer connection for statements that go through SeaORM.
    async fn connection(&self) -> &DatabaseConnection {
        self.batch_driver.give_back_connection().await;
        &self.connection
    }
}

impl Connection for SqlConnection {
    fn head(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Seq, DbErr>> {
        async move {
            let connection = self.connection().await;
            let head = reads::head(connection, workspace).await?;
            attach::repair_cursors(connection, &self.parts.corrupt, workspace, head).await?;
            Ok(head)
        }
        .boxed()
    }

    fn write<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Outcome<Written, DbErr>> {
        let now = self.parts.clock.now();
        async move {
            let changes = batch.changes(now);
            if changes.is_plain() {
                let written = self.batch_driver.write(&self.connection, &changes).await;
                return written.map(|()| Written::default());
            }
            let write = async |transaction: &DatabaseTransaction| apply(transaction, &changes).await;
            in_transaction(self.connection().await, write).await
        }
        .boxed()
    }

    fn stored_keys(
        &self,
        names: Vec<KeyName>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HashMap<KeyName, StoredKey>, DbErr>> {
        async move { idempotency::find(self.connection().await, &names, now).await }.boxed()
    }

    fn probe(&self, now: Timestamp) -> BoxFuture<'_, Result<(), DbErr>> {
        async move { engine_clock::write(self.connection().await, now).await }.boxed()
    }

    fn keep_time(&self, now: Timestamp) -> BoxFuture<'_, Outcome<(), DbErr>> {
        async move {
            in_transaction(self.connection().await, async move |transaction| {
                engine_clock::write(transaction, now).await
            })
            .await
        }
        .boxed()
    }

    fn run_effects<'a>(
        &'a self,
        effects: &'a mut [StagedEffect],
        heads: &'a mut HashMap<WorkspaceId, Seq>,
    ) -> BoxFuture<'a, Outcome<(), DbErr>> {
        let bounds = effects::Bounds {
            limit: self.parts.effect_timeout,
            guard: &self.work_guard,
            thread: &self.parts.effect_thread,
            clock: self.parts.clock,
        };
        async move {
            let connection = self.connection().await;
            let around = Around {
                before: effects::before_commit(connection.get_database_backend()),
                ..Around::default()
            };
            let Some(transaction) = begin_of_work(connection, around).await else {
                return Outcome::NotBegun;
            };
            let result = effects::run(&transaction, effects, heads, &bounds).await;
            let is_lost = matches!(result, Err(effects::EffectStepError::Lost));
            let outcome = end(transaction, result).await;
            if is_closed(connection) {
                self.work_guard.condemn();
                // One of them has left something behind.
                for effect in effects.iter_mut() {
                    effect.is_suspect |= effect.is_begun && effect.has_work;
                }
            }
            if is_lost {
                // The driver has rolled back as many levels as it counted, which may be none. It fails where no
                // transaction is left.
                let _ = connection.execute_unprepared("ROLLBACK").await;
            }
            match outcome {
                Outcome::Committed(()) => Outcome::Committed(()),
                Outcome::RolledBack(effects::EffectStepError::Database(error)) => Outcome::RolledBack(error),
                Outcome::RolledBack(_) => {
                    Outcome::RolledBack(DbErr::Type("an effect was interrupted".to_owned()))
                }
                Outcome::NotBegun => Outcome::NotBegun,
                Outcome::Unknown => Outcome::Unknown,
            }
        }
        .boxed()
    }

    fn slow_effects(&self) -> Option<Arc<dyn SlowEffects>> {
        let connection = Arc::clone(self.parts.slow_effects.as_ref()?);
        Some(connection)
    }

    fn are_done(&self, deliveries: Vec<EffectOf>) -> BoxFuture<'_, Result<Vec<bool>, DbErr>> {
        async move { effects::are_done(self.connection().await, &deliveries).await }.boxed()
    }

    fn has_marks(&self, installation: InstallationId) -> BoxFuture<'_, Result<bool, DbErr>> {
        async move { effects::has_marks(self.connection().await, installation).await }.boxed()
    }

    fn change_installation(
        &self,
        workspace: WorkspaceId,
        work: InstallationWork,
    ) -> BoxFuture<'_, Outcome<InstallationView, ChangeError>> {
        let clock = self.parts.clock;
        async move {
            in_transaction(self.connection().await, async move |transaction| match work {
                InstallationWork::Install(new) => {
                    installations::install(transaction, workspace, new, clock).await
                }
                InstallationWork::Change(id, change) => {
                    installations::change(transaction, workspace, id, change, clock).await
                }
            })
            .await
        }
        .boxed()
    }

    fn change(&self, change: Change) -> BoxFuture<'_, Outcome<Option<Notice>, ChangeError>> {
        let deletes = matches!(change, Change::DeleteWorkspace { .. });
        let erases = matches!(change, Change::Erase { .. });
        async move {
            let connection = self.connection().await;
            if erases && erasure::overwrite(connection, true).await.is_err() {
                return Outcome::NotBegun;
            }
            let made = in_transaction(connection, async move |transaction| {
                letters::make(transaction, change).await
            })
            .await;
            if erases && erasure::overwrite(connection, false).await.is_err() {
                return Outcome::Unknown;
            }
            if deletes {
                self.parts.deletions.want();
            }
            made
        }
        .boxed()
    }

    fn run<'a>(
        &'a self,
        job: &'a mut dyn WriteJob,
        is_beside_effect: bool,
    ) -> BoxFuture<'a, Outcome<(), JobError>> {
        async move {
            let connection = self.connection().await;
            let settings = if is_beside_effect {
                limit_waits(connection.get_database_backend())
            } else {
                ""
            };
            let outcome = in_transaction_of_work(connection, settings, async move |transaction| {
                let run = Caught::new(job.run(transaction)).await;
                run.unwrap_or_else(|panic| {
                    log::error!(panic:%; "a change has panicked; it is rolled back");
                    Err(JobError::Refused)
                })
            })
            .await;
            if is_closed(connection) {
                self.work_guard.condemn();
            }
            outcome
        }
        .boxed()
    }

    fn deleted_workspaces(&self) -> BoxFuture<'_, Result<Vec<WorkspaceId>, DbErr>> {
        async { workspace_deletion::unfinished(self.connection().await).await }.boxed()
    }

    fn prune(&self, piece: Piece) -> BoxFuture<'_, Outcome<u64, DbErr>> {
        async move { retention::delete(self.connection().await, piece).await }.boxed()
    }

    fn attach(&self, installation: InstallationId) -> BoxFuture<'_, Outcome<Attachment, DbErr>> {
        async move {
            match attach::attach(self.connection().await, &self.parts.corrupt, installation).await {
                Ok(attachment) => Outcome::Committed(attachment),
                Err(error) if is_fault_of_the_data(&error) => Outcome::RolledBack(error),
                Err(error) => {
                    log::error!(installation:%, error:%; "attaching a lane failed");
                    Outcome::Unknown
                }
            }
        }
        .boxed()
    }

    fn positions_of(&self, ids: Vec<EventId>) -> BoxFuture<'_, Result<HashMap<EventId, Seq>, DbErr>> {
        async move { recovery::positions_of(self.connection().await, &ids).await }.boxed()
    }

    fn write_attempts<'a>(
        &'a self,
        rows: &'a [AttemptRecord],
        is_again: bool,
    ) -> BoxFuture<'a, Outcome<(), DbErr>> {
        let writing = Writing::of(is_again);
        self.batch_driver
            .write_attempts(&self.connection, rows, writing)
            .boxed()
    }

    fn rest<'a>(&'a self, rests: &'a [Rested]) -> BoxFuture<'a, Outcome<(), DbErr>> {
        async move {
            let write = async |transaction: &DatabaseTransaction| due::rest(transaction, rests).await;
            in_transaction(self.connection().await, write).await
        }
        .boxed()
    }

    fn tend(&self) -> BoxFuture<'_, ()> {
        async {
            let log = &self.parts.write_ahead_log;
            if log.is_due() {
                log.tend(|mode| self.batch_driver.checkpoint(&self.connection, mode).boxed())
                    .await;
            }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            if let Some(connection) = &self.parts.slow_effects {
                connection.close().await;
            }
            claim::release(self.connection().await).await;
            // A failure to close has no consequence.
            let _ = self.connection.clone().close().await;
        }
        .boxed()
    }
}

/// The reads of the engine, on the pool for reads.
pub(super) struct SqlReader {
    pub(super) readers: Readers,
    pub(super) corrupt: Arc<CorruptRows>,
    pub(super) max_hold: Duration,
}

impl LogReader for SqlReader {
    fn head(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Seq, DbErr>> {
        reads::head(&self.readers.engine, workspace).boxed()
    }

    fn views(&self, workspace: WorkspaceId) -> BoxFuture<'_, Result<Vec<InstallationView>, ChangeError>> {
        installations::views(&self.readers.engine, workspace).boxed()
    }

    fn page(
        &self,
        workspace: WorkspaceId,
        after: Seq,
        through: Seq,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<PlatformEvent>>, DbErr>> {
        reads::page(
            &self.readers.engine,
            &self.corrupt,
            workspace,
            after,
            through,
            limit,
        )
        .boxed()
    }

    fn due_retries(
        &self,
        workspace: WorkspaceId,
        installation: InstallationId,
        due_by: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<DueRetries, DbErr>> {
        reads::due_retries(
            &self.readers.engine,
            &self.corrupt,
            workspace,
            installation,
            due_by,
            limit,
        )
        .boxed()
    }

    fn due_page(
        &self,
        after: DueRow,
        by: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DueRow>, DbErr>> {
        due::page(&self.readers.engine, after, by, limit).boxed()
    }

    fn earliest_due_after(&self, after: Timestamp) -> BoxFuture<'_, Result<Option<Timestamp>, DbErr>> {
        due::earliest_after(&self.readers.engine, after).boxed()
    }

    fn next_work(
        &self,
        workspaces: Vec<WorkspaceId>,
    ) -> BoxFuture<'_, Result<HashMap<WorkspaceId, Timestamp>, DbErr>> {
        async move { due::next_work(&self.readers.engine, &workspaces, self.max_hold).await }.boxed()
    }

    fn causes_of(
        &self,
        workspace: WorkspaceId,
        event: EventId,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<(EventId, EventKey)>, DbErr>> {
        causes::causes_of(&self.readers.engine, workspace, event, limit).boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), DbErr>> {
        self.readers.close().boxed()
    }
}

//! The one writer: gathers what waits while a transaction commits, and commits it with the next.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tokio::{sync::mpsc, time::timeout};

use super::{
    OpenError,
    attempts::AttemptBuffer,
    batch::Batch,
    claim::{self, FileClaim},
    command::{AppendError, Attached, Command, JobEnd, JobError, SettleError, StorageUnavailable, WriteJob},
    database::{DatabaseUrl, is_fault_of_the_data},
    gather::Gathered,
    notice::{Notice, NoticeSink},
    recovery,
    write_ahead_log::WriteAheadLog,
};
use crate::{
    clock::Clock,
    domain::{
        id::{InstallationId, WorkspaceId},
        seq::Seq,
    },
};

/// A transaction that takes longer has an unknown outcome, and its connection is thrown away.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses between attempts to get a new connection.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// Jobs of admins run between two batches.
const JOBS_PER_TURN: usize = 8;
/// Heads kept in memory; what is forgotten is read again.
const MAX_HEADS: usize = 100_000;

pub(super) struct Writer {
    pub(super) url: DatabaseUrl,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) notices: NoticeSink,
    pub(super) storage_ok: Arc<AtomicBool>,
    pub(super) connection: Option<DatabaseConnection>,
    pub(super) gathered: Gathered,
    /// Heads of the log as committed. This process is the only writer, so that they need no second look.
    pub(super) heads: HashMap<WorkspaceId, Seq>,
    /// Generations handed out by attach; settlements of any other are refused.
    pub(super) generations: HashMap<InstallationId, i64>,
    /// Grows with every attach, also across restarts.
    pub(super) last_generation: i64,
    pub(super) attempts: AttemptBuffer,
    /// A batch of which nobody knows whether it was committed.
    pub(super) unresolved: Option<Batch>,
    pub(super) clock: Clock,
    pub(super) corrupt: Arc<super::corrupt::CorruptRows>,
    pub(super) write_ahead_log: WriteAheadLog,
    /// Held until the last write.
    pub(super) claim: Option<FileClaim>,
}

/// What became of a transaction.
pub(super) enum Outcome<E> {
    Committed,
    /// It was rolled back for a reason that lies in the work itself.
    RolledBack(E),
    /// The connection is gone and with it the knowledge.
    Unknown,
}

impl Writer {
    /// Runs until it is told to stop, or every handle of the journal is gone.
    pub(super) async fn run(mut self) {
        let mut stopped = None;
        loop {
            if self.connection.is_none() {
                self.reconnect().await;
            }
            if self.gathered.is_empty() && !self.wait().await {
                break;
            }
            while let Ok(command) = self.commands.try_recv() {
                self.gathered.take(command);
            }
            if self.connection.is_none() {
                self.refuse_waiting();
                if self.gathered.is_stopping() {
                    break;
                }
                tokio::time::sleep(RECONNECT_PAUSE).await;
                continue;
            }
            self.turn().await;
            if let Some(reply) = self.gathered.take_stop() {
                stopped = Some(reply);
                break;
            }
        }
        self.attempts.flush(self.connection.as_ref()).await;
        drop(std::mem::take(&mut self.write_ahead_log));
        if let Some(connection) = self.connection.take() {
            claim::release(&connection).await;
            // Nobody can act on a failure to close.
            let _ = connection.close().await;
        }
        drop(self.claim.take());
        if let Some(reply) = stopped {
            let _ = reply.send(());
        }
    }

    /// Waits for the first command. False when no handle is left.
    async fn wait(&mut self) -> bool {
        let pause = match (&self.connection, self.attempts.wait(self.clock.instant())) {
            (None, _) => Some(RECONNECT_PAUSE),
            (Some(_), pause) => pause,
        };
        let received = match pause {
            None => Ok(self.commands.recv().await),
            Some(pause) => timeout(pause, self.commands.recv()).await,
        };
        match received {
            Ok(Some(command)) => self.gathered.take(command),
            Ok(None) => return false,
            Err(_) if self.connection.is_some() => self.attempts.flush(self.connection.as_ref()).await,
            Err(_) => {}
        }
        true
    }

    /// One batch, then what waits between batches.
    async fn turn(&mut self) {
        let batch = self.gathered.next_batch();
        if !batch.is_empty() {
            self.commit(batch).await;
        }
        for _ in 0..JOBS_PER_TURN {
            // Attach answers with what is durable, so that it waits for every settlement before it.
            if self.connection.is_none() || self.gathered.has_settlements() {
                return;
            }
            let Some(job) = self.gathered.next_job() else {
                break;
            };
            self.run_job(job).await;
        }
        if let Some(connection) = &self.connection {
            self.write_ahead_log.bound(connection).await;
        }
        if self.connection.is_some() && self.attempts.is_due(self.clock.instant()) {
            self.attempts.flush(self.connection.as_ref()).await;
        }
    }

    /// Commits the batch, halving it around a culprit where the database refuses some of its data.
    async fn commit(&mut self, batch: Batch) {
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            self.drop_fenced(&mut batch);
            if batch.is_empty() {
                continue;
            }
            match self.write_batch(&mut batch).await {
                Outcome::Committed => {}
                Outcome::RolledBack(error) if batch.len() == 1 => self.refuse(batch, &error).await,
                Outcome::RolledBack(_) => {
                    let (first, second) = batch.split();
                    batches.push(second);
                    batches.push(first);
                    continue;
                }
                Outcome::Unknown => {
                    self.unresolved = Some(batch);
                    self.lose_connection();
                    // What was split off has not been tried and has no place yet.
                    // The next to be tried is the last of these, and goes before the others.
                    for batch in batches {
                        self.gathered.put_back(batch);
                    }
                    return;
                }
            }
        }
    }

    async fn write_batch(&mut self, batch: &mut Batch) -> Outcome<DbErr> {
        let Some(connection) = self.connection.clone() else {
            return Outcome::Unknown;
        };
        if let Err(error) = self.know_heads(&connection, batch).await {
            log::error!(error:%; "reading the heads of the log failed");
            return Outcome::Unknown;
        }
        let heads = batch.stage(&self.heads);
        match in_transaction(&connection, async |transaction| batch.write(transaction).await).await {
            Outcome::Committed => {
                let batch = std::mem::take(batch);
                self.committed(batch, heads);
                Outcome::Committed
            }
            other => other,
        }
    }

    /// The batch is durable: publishers are answered, and the router hears of the new heads.
    pub(super) fn committed(&mut self, batch: Batch, heads: HashMap<WorkspaceId, Seq>) {
        if self.heads.len() + heads.len() > MAX_HEADS {
            self.heads.clear();
        }
        self.heads.extend(&heads);
        let mut events: HashMap<WorkspaceId, Vec<_>> = HashMap::with_capacity(heads.len());
        for mut staged in batch.appends {
            let recorded = events.entry(staged.append.workspace_id).or_default();
            recorded.append(&mut staged.events);
            staged.append.recorded();
        }
        for (workspace_id, events) in events {
            let head = heads.get(&workspace_id).copied().unwrap_or(Seq::ZERO);
            (self.notices)(Notice::Committed {
                workspace_id,
                head,
                events,
            });
        }
        for mut command in batch.settlements {
            self.attempts.add(&mut command.attempts, self.clock.instant());
            let _ = command.reply.send(Ok(()));
        }
    }

    /// The database refuses this one item, and nothing else in its batch suffers.
    async fn refuse(&mut self, batch: Batch, error: &DbErr) {
        for staged in batch.appends {
            let recorded = match &self.connection {
                Some(connection) => recovery::are_recorded(connection, &staged.append).await,
                None => Err(StorageUnavailable),
            };
            let refusal = match recorded {
                // Sent twice by a router whose actor died in between: it is there, once.
                Ok(true) => {
                    staged.append.recorded();
                    continue;
                }
                Ok(false) => {
                    let workspace = staged.append.workspace_id;
                    log::error!(workspace:%, error:%; "the database refuses an event");
                    AppendError::Refused
                }
                Err(error) => error.into(),
            };
            let _ = staged.append.reply.send(Err(refusal));
        }
        for command in batch.settlements {
            let installation = command.installation_id;
            log::error!(installation:%, error:%; "the database refuses a settlement");
            let _ = command.reply.send(Err(SettleError::Refused));
        }
    }

    fn drop_fenced(&self, batch: &mut Batch) {
        for index in (0..batch.settlements.len()).rev() {
            let command = &batch.settlements[index];
            if self.generations.get(&command.installation_id) != Some(&command.generation) {
                let command = batch.settlements.remove(index);
                let _ = command.reply.send(Err(SettleError::Fenced));
            }
        }
    }

    /// Reads the heads of the workspaces that are not in memory.
    async fn know_heads(&mut self, connection: &DatabaseConnection, batch: &Batch) -> Result<(), DbErr> {
        let unknown: HashSet<WorkspaceId> = batch
            .appends
            .iter()
            .map(|staged| staged.append.workspace_id)
            .filter(|workspace| !self.heads.contains_key(workspace))
            .collect();
        for workspace in unknown {
            let head = timeout(TRANSACTION_TIMEOUT, super::reads::head(connection, workspace))
                .await
                .map_err(|_| DbErr::Custom("reading a head took too long".to_owned()))??;
            self.heads.insert(workspace, head);
        }
        Ok(())
    }

    async fn run_job(&mut self, job: Job) {
        let Some(connection) = self.connection.clone() else {
            return;
        };
        match job {
            Job::Attach {
                installation_id,
                reply,
            } => {
                let attached = timeout(
                    TRANSACTION_TIMEOUT,
                    super::attach::attach(&connection, &self.corrupt, installation_id),
                )
                .await;
                match attached {
                    Ok(Ok(attachment)) => {
                        self.last_generation += 1;
                        let generation = self.last_generation;
                        self.generations.insert(installation_id, generation);
                        let _ = reply.send(Ok(Attached {
                            generation,
                            attachment,
                        }));
                    }
                    Ok(Err(error)) => {
                        log::error!(installation:% = installation_id, error:%; "attaching a lane failed");
                        let _ = reply.send(Err(StorageUnavailable));
                        self.lose_connection();
                    }
                    Err(_) => {
                        let _ = reply.send(Err(StorageUnavailable));
                        self.lose_connection();
                    }
                }
            }
            Job::Write(mut job) => {
                match in_transaction(&connection, async |transaction| job.run(transaction).await).await {
                    Outcome::Committed => {
                        for notice in job.notices() {
                            (self.notices)(notice);
                        }
                        job.finish(JobEnd::Committed);
                    }
                    Outcome::RolledBack(_) => job.finish(JobEnd::RolledBack),
                    Outcome::Unknown => {
                        job.finish(JobEnd::Unavailable);
                        self.lose_connection();
                    }
                }
            }
        }
    }

    fn lose_connection(&mut self) {
        self.storage_ok.store(false, Ordering::SeqCst);
        log::error!("the writer connection is thrown away; a new one is made");
        self.connection = None;
        self.heads.clear();
    }

    /// Publishers and admins are refused at once while there is no database; settlements wait for it.
    fn refuse_waiting(&mut self) {
        for append in self.gathered.take_appends() {
            let _ = append.reply.send(Err(StorageUnavailable.into()));
        }
        while let Some(job) = self.gathered.next_job() {
            match job {
                Job::Attach { reply, .. } => drop(reply.send(Err(StorageUnavailable))),
                Job::Write(job) => job.finish(JobEnd::Unavailable),
            }
        }
    }

    /// One attempt to get a new connection: the claim first, then the batch whose outcome is unknown.
    async fn reconnect(&mut self) {
        let connected = timeout(TRANSACTION_TIMEOUT, connect(&self.url)).await;
        let connection = match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return log::warn!(error:%; "no connection to the database yet"),
            Err(_) => return log::warn!("no connection to the database yet: it does not answer"),
        };
        if let Some(batch) = self.unresolved.take() {
            let resolved = timeout(TRANSACTION_TIMEOUT, recovery::resolve(&connection, &batch)).await;
            match resolved {
                Ok(Ok(Some(events))) => {
                    let heads = batch.heads_of(&events);
                    self.committed(batch.with_events(&events), heads);
                }
                Ok(Ok(None)) => {
                    for staged in batch.appends {
                        let _ = staged.append.reply.send(Err(StorageUnavailable.into()));
                    }
                    self.gathered.put_back(Batch {
                        appends: Vec::new(),
                        settlements: batch.settlements,
                    });
                }
                Ok(Err(_)) | Err(_) => {
                    self.unresolved = Some(batch);
                    return;
                }
            }
        }
        self.heads.clear();
        self.connection = Some(connection);
        self.storage_ok.store(true, Ordering::SeqCst);
        log::info!("the writer connection is back");
        (self.notices)(Notice::Reconnected);
    }
}

/// What runs between batches.
pub(super) enum Job {
    Attach {
        installation_id: InstallationId,
        reply: tokio::sync::oneshot::Sender<Result<Attached, StorageUnavailable>>,
    },
    Write(Box<dyn WriteJob>),
}

/// A new writer connection that holds the claim.
pub(super) async fn connect(url: &DatabaseUrl) -> Result<DatabaseConnection, OpenError> {
    let connection = url.writer().await?;
    claim::take_on(&connection).await?;
    Ok(connection)
}

/// The reason in an error of a transaction's work that lies in the work itself; none where the connection
/// is in doubt.
pub(super) trait WorkError: Sized {
    fn in_the_work(self) -> Option<Self>;
}

impl WorkError for DbErr {
    fn in_the_work(self) -> Option<Self> {
        is_fault_of_the_data(&self).then_some(self)
    }
}

impl WorkError for JobError {
    fn in_the_work(self) -> Option<Self> {
        match self {
            Self::Database(error) if !is_fault_of_the_data(&error) => None,
            other => Some(other),
        }
    }
}

/// Runs `work` between BEGIN and COMMIT, all of it under one time-out.
pub(super) async fn in_transaction<E: WorkError>(
    connection: &DatabaseConnection,
    work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<(), E>,
) -> Outcome<E> {
    let started: Instant = Clock.instant();
    let all = async {
        let options = TransactionOptions {
            sqlite_transaction_mode: (connection.get_database_backend() == DbBackend::Sqlite)
                .then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = match connection.begin_with_options(options).await {
            Ok(transaction) => transaction,
            Err(error) => return unknown("begin", &error),
        };
        match work(&transaction).await {
            Ok(()) => match transaction.commit().await {
                Ok(()) => Outcome::Committed,
                Err(error) => unknown("commit", &error),
            },
            Err(error) => match (error.in_the_work(), transaction.rollback().await) {
                (Some(error), Ok(())) => Outcome::RolledBack(error),
                (_, Err(error)) => unknown("rollback", &error),
                (None, Ok(())) => Outcome::Unknown,
            },
        }
    };
    match timeout(TRANSACTION_TIMEOUT, all).await {
        Ok(outcome) => outcome,
        Err(_) => {
            log::error!(seconds = Clock.elapsed(started).as_secs(); "a transaction took too long");
            Outcome::Unknown
        }
    }
}

fn unknown<E>(step: &str, error: &DbErr) -> Outcome<E> {
    log::error!(step, error:%; "a transaction failed");
    Outcome::Unknown
}

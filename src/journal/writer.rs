//! The one writer: gathers what waits while a transaction commits, and commits it with the next.

mod jobs;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use sea_orm::DbErr;
use tokio::{sync::mpsc, time::timeout};

use super::{
    attempts::AttemptBuffer,
    batch::Batch,
    command::{Append, AppendError, Command, SettleError, StorageUnavailable},
    gather::Gathered,
    notice::{Notice, NoticeSink},
    storage::{Connection, Outcome, Storage},
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
    pub(super) storage: Box<dyn Storage>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) notices: NoticeSink,
    pub(super) storage_ok: Arc<AtomicBool>,
    pub(super) connection: Option<Arc<dyn Connection>>,
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
        self.write_attempts().await;
        self.storage.close(self.connection).await;
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
            Err(_) if self.connection.is_some() => self.write_attempts().await,
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
            connection.tend().await;
        }
        if self.connection.is_some() && self.attempts.is_due(self.clock.instant()) {
            self.write_attempts().await;
        }
    }

    /// Writes the history. It is no promise: what cannot be written is dropped with a warning.
    async fn write_attempts(&mut self) {
        let rows = self.attempts.take();
        let (Some(connection), false) = (self.connection.clone(), rows.is_empty()) else {
            return;
        };
        let outcome = bounded(connection.write_attempts(&rows)).await;
        if !matches!(outcome, Outcome::Committed(())) {
            log::warn!(rows = rows.len(); "attempts could not be recorded");
        }
        if matches!(outcome, Outcome::Unknown) {
            self.lose_connection();
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
                Outcome::Committed(()) => {}
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

    async fn write_batch(&mut self, batch: &mut Batch) -> Outcome<(), DbErr> {
        let Some(connection) = self.connection.clone() else {
            return Outcome::Unknown;
        };
        if let Err(error) = self.know_heads(&*connection, batch).await {
            log::error!(error:%; "reading the heads of the log failed");
            return Outcome::Unknown;
        }
        let heads = batch.stage(&self.heads);
        let outcome = bounded(connection.write(batch)).await;
        if matches!(outcome, Outcome::Committed(())) {
            let batch = std::mem::take(batch);
            self.committed(batch, heads);
        }
        outcome
    }

    /// The batch is durable: publishers are answered, and the router hears of the new heads.
    pub(super) fn committed(&mut self, batch: Batch, heads: HashMap<WorkspaceId, Seq>) {
        if self.heads.len() + heads.len() > MAX_HEADS {
            self.heads.clear();
        }
        self.heads.extend(&heads);
        let mut events: BTreeMap<WorkspaceId, Vec<_>> = BTreeMap::new();
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
            let refusal = match self.are_recorded(&staged.append).await {
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

    /// Whether all events of the append are in the log already.
    async fn are_recorded(&mut self, append: &Append) -> Result<bool, StorageUnavailable> {
        let connection = self.connection.as_ref().ok_or(StorageUnavailable)?;
        let ids = append.events.iter().map(|event| event.id).collect();
        match timeout(TRANSACTION_TIMEOUT, connection.places_of(ids)).await {
            Ok(Ok(found)) => Ok(append.events.iter().all(|event| found.contains_key(&event.id))),
            Ok(Err(_)) | Err(_) => Err(StorageUnavailable),
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
    async fn know_heads(&mut self, connection: &dyn Connection, batch: &Batch) -> Result<(), DbErr> {
        let unknown: BTreeSet<WorkspaceId> = batch
            .appends
            .iter()
            .map(|staged| staged.append.workspace_id)
            .filter(|workspace| !self.heads.contains_key(workspace))
            .collect();
        for workspace in unknown {
            let head = timeout(TRANSACTION_TIMEOUT, connection.head(workspace))
                .await
                .map_err(|_| DbErr::Custom("reading a head took too long".to_owned()))??;
            self.heads.insert(workspace, head);
        }
        Ok(())
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
            job.refuse();
        }
    }

    /// One attempt to get a new connection: the claim first, then the batch whose outcome is unknown.
    async fn reconnect(&mut self) {
        let connected = timeout(TRANSACTION_TIMEOUT, self.storage.connect()).await;
        let connection = match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return log::warn!(error:%; "no connection to the database yet"),
            Err(_) => return log::warn!("no connection to the database yet: it does not answer"),
        };
        if let Some(batch) = self.unresolved.take() {
            // A batch without events is not looked up: settlements can be written twice without harm.
            let ids = batch.event_ids();
            let resolved = match ids.is_empty() {
                true => Ok(Ok(HashMap::new())),
                false => timeout(TRANSACTION_TIMEOUT, connection.places_of(ids.clone())).await,
            };
            match resolved {
                Ok(Ok(places)) if !ids.is_empty() && places.len() == ids.len() => {
                    let heads = batch.heads_of(&places);
                    self.committed(batch.with_events(&places), heads);
                }
                Ok(Ok(_)) => {
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

/// A transaction that takes too long has an unknown outcome.
async fn bounded<T, E>(transaction: impl Future<Output = Outcome<T, E>>) -> Outcome<T, E> {
    match timeout(TRANSACTION_TIMEOUT, transaction).await {
        Ok(outcome) => outcome,
        Err(_) => {
            log::error!(seconds = TRANSACTION_TIMEOUT.as_secs(); "a transaction took too long");
            Outcome::Unknown
        }
    }
}

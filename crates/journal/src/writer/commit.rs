//! One batch: from what was gathered to its answers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use sea_orm::DbErr;
use tokio::time::timeout;

use super::{
    MAX_HEADS, Writer,
    bounds::{TRANSACTION_TIMEOUT, bounded},
};
use crate::{
    batch::Batch,
    command::Append,
    errors::{AppendError, SettleError, StorageUnavailable},
    notice::Notice,
    storage::{Connection, Outcome},
};
use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    seq::Seq,
};

/// What must be left of the time of publishers for their batch to be written once more.
const ENOUGH_TO_WRITE: Duration = Duration::from_millis(500);

impl Writer {
    /// Commits the batch, halving it around a culprit where the database refuses some of its data.
    pub(super) async fn commit(&mut self, batch: Batch) {
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            self.drop_fenced(&mut batch);
            if batch.is_empty() {
                continue;
            }
            match self.write_in_time(&mut batch).await {
                Outcome::Committed(()) => {}
                Outcome::RolledBack(error) if batch.len() == 1 => self.refuse(batch, &error).await,
                Outcome::RolledBack(_) => {
                    let (first, second) = batch.split();
                    batches.push(second);
                    batches.push(first);
                    continue;
                }
                Outcome::Unknown | Outcome::NotBegun => {
                    self.unresolved = Some(batch);
                    self.lose_connection("a transaction failed");
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

    /// What is written for the second time has what is left of the time of its publishers. Where that is too little,
    /// they are refused, of whose events it is known that they are not recorded; settlements that have come to the
    /// batch are written all the same.
    async fn write_in_time(&mut self, batch: &mut Batch) -> Outcome<(), DbErr> {
        let Some(until) = batch.again_until else {
            return self.write_batch(batch).await;
        };
        let left = until.saturating_duration_since(self.clock.instant());
        if left >= ENOUGH_TO_WRITE {
            let written = timeout(left, self.write_batch(batch)).await;
            return written.unwrap_or(Outcome::Unknown);
        }
        batch.again_until = None;
        for staged in std::mem::take(&mut batch.appends) {
            self.refuse_append(staged.append, StorageUnavailable.into());
        }
        if batch.is_empty() {
            return Outcome::Committed(());
        }
        self.write_batch(batch).await
    }

    async fn write_batch(&mut self, batch: &mut Batch) -> Outcome<(), DbErr> {
        let Some(connection) = self.connection.clone() else {
            return Outcome::Unknown;
        };
        if let Err(error) = self.know_heads(&*connection, batch).await {
            log::error!(error:%; "reading the heads of the log failed");
            return Outcome::Unknown;
        }
        if let Err(error) = self.answer_known_keys(&*connection, batch).await {
            log::error!(error:%; "looking up idempotency keys failed");
            return Outcome::Unknown;
        }
        if let Err(error) = self.answer_derived(&*connection, batch).await {
            log::error!(error:%; "looking up derived events failed");
            return Outcome::Unknown;
        }
        if batch.is_empty() {
            // All of it is answered by what is there.
            self.outage.over();
            return Outcome::Committed(());
        }
        batch.marked = self.marked_of(batch);
        let heads = batch.stage(&self.heads);
        bounded(connection.write(batch)).await.map(|written| {
            for installation in written.unmarked {
                self.marked.remove(&installation);
            }
            self.committed(std::mem::take(batch), heads);
        })
    }

    /// Those of the batch's installations of which effects are marked as done.
    fn marked_of(&self, batch: &Batch) -> HashSet<InstallationId> {
        if self.marked.is_empty() {
            return HashSet::new();
        }
        let settled = batch.settlements.iter().map(|command| command.installation_id);
        settled.filter(|id| self.marked.contains(id)).collect()
    }

    /// The batch is durable: publishers are answered, and the router hears of the new heads.
    pub(super) fn committed(&mut self, batch: Batch, heads: HashMap<WorkspaceId, Seq>) {
        self.note_heads(heads.clone());
        self.outage.over();
        let mut events: BTreeMap<WorkspaceId, Vec<_>> = BTreeMap::new();
        for mut staged in batch.appends {
            let recorded = events.entry(staged.append.workspace_id).or_default();
            recorded.append(&mut staged.events);
            self.keys.release(&staged.append);
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
                    self.keys.release(&staged.append);
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
            self.refuse_append(staged.append, refusal);
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
        self.read_heads(connection, unknown).await
    }

    pub(super) async fn read_heads(
        &mut self,
        connection: &dyn Connection,
        workspaces: BTreeSet<WorkspaceId>,
    ) -> Result<(), DbErr> {
        for workspace in workspaces {
            let head = timeout(TRANSACTION_TIMEOUT, connection.head(workspace))
                .await
                .map_err(|_| DbErr::Custom("reading a head took too long".to_owned()))??;
            self.heads.insert(workspace, head);
        }
        Ok(())
    }

    /// The heads of the log as they are now.
    pub(super) fn note_heads(&mut self, heads: HashMap<WorkspaceId, Seq>) {
        if self.heads.len() + heads.len() > MAX_HEADS {
            self.heads.clear();
        }
        self.heads.extend(heads);
    }

    /// Answers the appends whose idempotency key is stored already, and takes them out of the batch. Without
    /// keys the storage is not asked.
    async fn answer_known_keys(
        &mut self,
        connection: &dyn Connection,
        batch: &mut Batch,
    ) -> Result<(), DbErr> {
        let names = batch.key_names();
        if names.is_empty() {
            return Ok(());
        }
        let found = timeout(
            TRANSACTION_TIMEOUT,
            connection.stored_keys(names, self.clock.now()),
        )
        .await
        .map_err(|_| DbErr::Custom("the look-up took too long".to_owned()))??;
        for index in (0..batch.appends.len()).rev() {
            let name = batch.appends[index].append.key_name();
            let Some(stored) = name.and_then(|name| found.get(&name)) else {
                continue;
            };
            let append = batch.appends.remove(index).append;
            self.keys.release(&append);
            let answer = stored.answer(&append);
            // The publisher may have gone.
            let _ = append.reply.send(answer);
        }
        Ok(())
    }

    /// Answers an append that is not recorded.
    pub(super) fn refuse_append(&mut self, append: Append, refusal: AppendError) {
        self.keys.release(&append);
        // The publisher may have gone.
        let _ = append.reply.send(Err(refusal));
    }
}

//! The group commit: appends and settlements, from their arrival to their answers.

mod in_doubt;
mod recorded_before;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::DbErr;
use tokio::time::timeout;

use self::in_doubt::{Appends, BatchInDoubt, Resolved};
use super::{
    bounds::bounded, connection::WriterConnection, history::History, lanes::Lanes,
    workspace_logs::WorkspaceLogs,
};
use crate::{
    batch::{Batch, BatchQueue},
    command::{Append, SettleCommand},
    errors::{AppendError, SettleError, StorageUnavailable},
    idempotency::KeysInProgress,
    storage::{Connection, Outcome},
};
use pointsman_clock::Clock;
use pointsman_domain::{
    id::{EventId, WorkspaceId},
    idempotency::Recorded,
    seq::Seq,
};

/// A batch is written a second time only where its publishers wait for at least so long still.
const ENOUGH_TO_WRITE: Duration = Duration::from_millis(500);

/// The heads after a transaction.
type Heads = HashMap<WorkspaceId, Seq>;

pub(super) struct GroupCommit {
    queue: BatchQueue,
    /// The idempotency keys of all appends that are queued, in the transaction or in doubt.
    keys: KeysInProgress,
    in_doubt: Option<BatchInDoubt>,
    clock: Clock,
}

impl GroupCommit {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            queue: BatchQueue::default(),
            keys: KeysInProgress::default(),
            in_doubt: None,
            clock,
        }
    }

    /// Queues the append, or refuses it where another publish under the same idempotency key is in progress.
    pub(super) fn push_append(&mut self, append: Append) {
        if self.keys.take(&append) {
            self.queue.push_append(append);
        } else {
            append.refuse(AppendError::KeyInUse);
        }
    }

    pub(super) fn push_settlement(&mut self, command: SettleCommand) {
        self.queue.push_settlement(command);
    }

    /// Whether no append or settlement waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many settlements have come since the start.
    pub(super) const fn settlements_received(&self) -> u64 {
        self.queue.settlements_received()
    }

    /// How many of them have been taken into a batch.
    pub(super) fn settlements_taken(&self) -> u64 {
        self.queue.settlements_taken()
    }

    pub(super) fn next_batch(&mut self) -> Batch {
        self.queue.next_batch()
    }

    /// Commits the batch and answers it. Where the database refuses some of its data, halves it until the refused item
    /// stands alone.
    pub(super) async fn commit(
        &mut self,
        batch: Batch,
        connection: &mut WriterConnection,
        logs: &mut WorkspaceLogs,
        lanes: &mut Lanes,
        history: &mut History,
    ) {
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            lanes.refuse_fenced(&mut batch);
            self.refuse_deleted(&mut batch, lanes);
            lanes.erase_from(&mut batch);
            if batch.is_empty() {
                continue;
            }
            match self.write_in_time(&mut batch, connection, logs, lanes).await {
                // All of it was answered without a write.
                Outcome::Committed(_) if batch.is_empty() => {}
                Outcome::Committed(heads) => self.committed(batch, heads, logs, history),
                Outcome::RolledBack(error) if batch.len() == 1 => {
                    if let Err(unanswered) = self.refuse(batch, &error, connection.get()).await {
                        connection.lose("looking up a refused event failed");
                        return self.put_in_doubt(unanswered, batches);
                    }
                }
                Outcome::RolledBack(_) => {
                    let (first, second) = batch.split();
                    batches.push(second);
                    batches.push(first);
                }
                Outcome::Unknown | Outcome::NotBegun => {
                    connection.lose("a transaction failed");
                    return self.put_in_doubt(batch, batches);
                }
            }
        }
    }

    /// Refuses the appends to workspaces that are deleted, and takes them out of the batch.
    fn refuse_deleted(&mut self, batch: &mut Batch, lanes: &Lanes) {
        for index in (0..batch.appends.len()).rev() {
            if lanes.is_deleted(batch.appends[index].append.workspace_id) {
                let staged = batch.appends.remove(index);
                self.refuse_append(staged.append, AppendError::NoWorkspace);
            }
        }
    }

    /// The outcome of the batch is unknown. The other halves have not been tried, and their events have no positions
    /// yet.
    fn put_in_doubt(&mut self, batch: Batch, halves: Vec<Batch>) {
        self.in_doubt = Some(BatchInDoubt::new(batch));
        // The last one is the next to be tried, so that it is put back last, before the others.
        for batch in halves {
            self.queue.put_back(batch);
        }
    }

    /// A second write has to end while its publishers wait. Where too little of that time is left, the publishers are
    /// refused: it is known that their events are not recorded. Settlements that have joined the batch are written all
    /// the same.
    async fn write_in_time(
        &mut self,
        batch: &mut Batch,
        connection: &mut WriterConnection,
        logs: &mut WorkspaceLogs,
        lanes: &mut Lanes,
    ) -> Outcome<Heads, DbErr> {
        let Some(until) = batch.again_until else {
            return self.write(batch, connection, logs, lanes).await;
        };
        let left = until.saturating_duration_since(self.clock.instant());
        if left >= ENOUGH_TO_WRITE {
            let written = timeout(left, self.write(batch, connection, logs, lanes)).await;
            return written.unwrap_or(Outcome::Unknown);
        }
        batch.again_until = None;
        for staged in std::mem::take(&mut batch.appends) {
            self.refuse_append(staged.append, StorageUnavailable.into());
        }
        if batch.is_empty() {
            return Outcome::Committed(Heads::new());
        }
        self.write(batch, connection, logs, lanes).await
    }

    /// Answers the appends that are recorded already, and writes the rest. Returns the heads after the commit.
    async fn write(
        &mut self,
        batch: &mut Batch,
        connection: &mut WriterConnection,
        logs: &mut WorkspaceLogs,
        lanes: &mut Lanes,
    ) -> Outcome<Heads, DbErr> {
        let Some(current) = connection.get() else {
            return Outcome::Unknown;
        };
        let unread = logs.without_head(batch.appends.iter().map(|staged| staged.append.workspace_id));
        if let Err(error) = logs.read_heads(&*current, unread).await {
            log::error!(error:%; "reading the heads of the log failed");
            return Outcome::Unknown;
        }
        if !self.answer_recorded(batch, &*current).await {
            return Outcome::Unknown;
        }
        if batch.is_empty() {
            connection.answered();
            return Outcome::Committed(Heads::new());
        }
        batch.marked = lanes.marked_of(batch);
        batch.due = logs.due.without_mark(batch.workspaces_with_work());
        let heads = logs.stage(batch);
        bounded(current.write(batch)).await.map(|written| {
            connection.answered();
            for installation in written.unmarked {
                lanes.unmark(installation);
            }
            heads
        })
    }

    /// Answers the appends that are recorded already, and takes them out of the batch. False where a look-up fails.
    async fn answer_recorded(&mut self, batch: &mut Batch, current: &dyn Connection) -> bool {
        match recorded_before::take_known_keys(current, batch, self.clock.now()).await {
            Ok(known) => known
                .into_iter()
                .for_each(|(append, answer)| self.answer(append, answer)),
            Err(error) => {
                log::error!(error:%; "looking up idempotency keys failed");
                return false;
            }
        }
        match recorded_before::answer_derived(current, batch).await {
            Ok(repeats) => self.queue.put_back(repeats),
            Err(error) => {
                log::error!(error:%; "looking up derived events failed");
                return false;
            }
        }
        true
    }

    /// The batch is durable: answers its publishers, tells the router of the new heads, and answers its settlements.
    fn committed(&mut self, batch: Batch, heads: Heads, logs: &mut WorkspaceLogs, history: &mut History) {
        logs.moved_to(heads.clone());
        logs.due.worked(batch.workspaces_with_work());
        let mut events: BTreeMap<WorkspaceId, Vec<_>> = BTreeMap::new();
        for mut staged in batch.appends {
            let recorded = events.entry(staged.append.workspace_id).or_default();
            recorded.append(&mut staged.events);
            self.keys.release(&staged.append);
            staged.append.recorded();
        }
        for (workspace, events) in events {
            let head = heads.get(&workspace).copied().unwrap_or(Seq::ZERO);
            logs.committed(workspace, head, events);
        }
        for mut command in batch.settlements {
            history.add(&mut command.attempts, self.clock.instant());
            let _ = command.reply.send(Ok(()));
        }
    }

    /// Answers the one item of the batch, which the database refuses.
    ///
    /// # Errors
    /// The batch, where the connection does not say whether its append is recorded.
    async fn refuse(
        &mut self,
        mut batch: Batch,
        error: &DbErr,
        connection: Option<Arc<dyn Connection>>,
    ) -> Result<(), Batch> {
        while let Some(staged) = batch.appends.pop() {
            let is_recorded = match &connection {
                Some(current) => recorded_before::are_recorded(&**current, &staged.append).await,
                None => None,
            };
            match is_recorded {
                // A router whose actor died has sent it again after it was recorded. It is in the log once.
                Some(true) => {
                    self.keys.release(&staged.append);
                    staged.append.recorded();
                }
                Some(false) => {
                    let workspace = staged.append.workspace_id;
                    log::error!(workspace:%, error:%; "the database refuses an event");
                    self.refuse_append(staged.append, AppendError::Refused);
                }
                None => {
                    batch.appends.push(staged);
                    return Err(batch);
                }
            }
        }
        for command in batch.settlements {
            let installation = command.installation_id;
            log::error!(installation:%, error:%; "the database refuses a settlement");
            let _ = command.reply.send(Err(SettleError::Refused));
        }
        Ok(())
    }

    /// Answers an append that is not recorded.
    fn refuse_append(&mut self, append: Append, refusal: AppendError) {
        self.answer(append, Err(refusal));
    }

    fn answer(&mut self, append: Append, answer: Result<Recorded, AppendError>) {
        self.keys.release(&append);
        append.answer(answer);
    }

    /// Refuses the appends that wait: there is no connection. Settlements go on waiting for it.
    pub(super) fn refuse_waiting(&mut self) {
        for append in self.queue.take_appends() {
            self.refuse_append(append, StorageUnavailable.into());
        }
    }

    /// The events whose positions are to be looked up to resolve the batch in doubt.
    pub(super) fn events_in_doubt(&self) -> Vec<EventId> {
        self.in_doubt
            .as_ref()
            .map(BatchInDoubt::event_ids)
            .unwrap_or_default()
    }

    /// Until when the publishers of the batch in doubt wait for their answer, where the recovery begins at `now`.
    pub(super) fn doubt_until(&self, now: Instant) -> Option<Instant> {
        self.in_doubt.as_ref().map(|batch| batch.waits_until(now))
    }

    /// Refuses the publishers of the batch in doubt, which have waited long enough.
    pub(super) fn refuse_in_doubt(&mut self) {
        if let Some(batch) = &mut self.in_doubt {
            batch.refuse_publishers();
        }
    }

    /// Answers the batch in doubt or queues it for a second write. `positions` are those of its events that are in the
    /// log; its publishers wait until `waits_until`, or have been refused where that is none.
    pub(super) fn resolve(
        &mut self,
        positions: &HashMap<EventId, Seq>,
        waits_until: Option<Instant>,
        logs: &mut WorkspaceLogs,
        history: &mut History,
    ) {
        let Some(batch) = self.in_doubt.take() else { return };
        match batch.resolve(positions, waits_until) {
            Resolved::Recorded(batch, heads) => self.committed(batch, heads, logs, history),
            Resolved::NotRecorded { settlements, appends } => {
                self.queue.put_back(settlements);
                match appends {
                    Appends::WriteAgain(batch) => self.queue.write_again(batch),
                    Appends::Refuse(batch) => {
                        for staged in batch.appends {
                            self.refuse_append(staged.append, StorageUnavailable.into());
                        }
                    }
                }
            }
        }
    }
}

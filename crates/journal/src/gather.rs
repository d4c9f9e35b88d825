//! What waits for the next transaction.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use super::{
    batch::{Batch, StagedAppend},
    command::{Append, Job, SettleCommand, WriterCommand},
    effects::EffectQueue,
};
use pointsman_domain::{event::NewEvent, id::WorkspaceId};

/// Bounds of one transaction. It takes at least one append, however large.
const MAX_EVENTS: usize = 512;
const MAX_BYTES: usize = 4 * 1024 * 1024;
const MAX_SETTLEMENTS: usize = 1024;

/// Commands in the order of their arrival, appends apart by workspace so that a flood in one of them does
/// not stand before the others. Bounded by what sends them: admission by `publish.max_in_flight`, lanes by
/// one outstanding settlement each.
#[derive(Default)]
pub(crate) struct Gathered {
    appends: HashMap<WorkspaceId, VecDeque<Append>>,
    /// The workspaces of `appends`, the next to be served first.
    turns: VecDeque<WorkspaceId>,
    settlements: VecDeque<SettleCommand>,
    pub(crate) effects: EffectQueue,
    jobs: VecDeque<QueuedJob>,
    /// A batch that is known not to be recorded, to be written once more before everything else.
    again: Option<Batch>,
    stop: Option<oneshot::Sender<()>>,
}

/// A job, and whether it was to be begun before.
pub(crate) struct QueuedJob {
    pub(crate) job: Job,
    pub(crate) again: bool,
}

impl Gathered {
    /// Whether nothing waits but effects, which may have to wait for their time.
    pub(crate) fn is_empty(&self) -> bool {
        self.again.is_none()
            && self.turns.is_empty()
            && self.settlements.is_empty()
            && self.jobs.is_empty()
            && self.stop.is_none()
    }

    pub(crate) fn take(&mut self, command: WriterCommand) {
        match command {
            WriterCommand::Append(append) => self.queue_append(append),
            WriterCommand::Effect(command) => self.effects.push(*command),
            WriterCommand::Settle(command) => self.settlements.push_back(*command),
            WriterCommand::Job(job) => self.jobs.push_back(QueuedJob { job, again: false }),
            WriterCommand::Stop(reply) => self.stop = Some(reply),
        }
    }

    fn queue_append(&mut self, append: Append) {
        let queue = self.appends.entry(append.workspace_id).or_default();
        if queue.is_empty() {
            self.turns.push_back(append.workspace_id);
        }
        queue.push_back(append);
    }

    /// What is to be written once more, or else one append of each workspace in turn until the transaction is full;
    /// and the settlements.
    pub(crate) fn next_batch(&mut self) -> Batch {
        let mut batch = self.again.take().unwrap_or_default();
        if batch.appends.is_empty() {
            self.fill(&mut batch);
        }
        let settlements = self.settlements.len().min(MAX_SETTLEMENTS);
        batch.settlements.extend(self.settlements.drain(..settlements));
        batch
    }

    fn fill(&mut self, batch: &mut Batch) {
        let (mut events, mut bytes) = (0, 0);
        while let Some(workspace) = self.turns.pop_front() {
            let Some(queue) = self.appends.get_mut(&workspace) else {
                continue;
            };
            if let Some(append) = queue.pop_front() {
                events += append.events.len();
                bytes += append.events.iter().map(NewEvent::queued_bytes).sum::<usize>();
                batch.appends.push(StagedAppend {
                    append,
                    events: Vec::new(),
                });
            }
            if queue.is_empty() {
                self.appends.remove(&workspace);
            } else {
                self.turns.push_back(workspace);
            }
            if events >= MAX_EVENTS || bytes >= MAX_BYTES {
                break;
            }
        }
    }

    /// The appends of the batch are to be written once more, before all others. There is no other such batch.
    pub(crate) fn write_again(&mut self, batch: Batch) {
        self.again = Some(batch);
    }

    /// The next job.
    pub(crate) fn next_job(&mut self) -> Option<QueuedJob> {
        self.jobs.pop_front()
    }

    /// The job has not been begun, and is to be done once more, before all others.
    pub(crate) fn begin_again(&mut self, job: Job) {
        self.jobs.push_front(QueuedJob { job, again: true });
    }

    /// Puts an untried batch back, before what came later.
    pub(crate) fn put_back(&mut self, batch: Batch) {
        for command in batch.settlements.into_iter().rev() {
            self.settlements.push_front(command);
        }
        for StagedAppend { append, .. } in batch.appends.into_iter().rev() {
            let workspace = append.workspace_id;
            let queue = self.appends.entry(workspace).or_default();
            if queue.is_empty() {
                self.turns.push_front(workspace);
            }
            queue.push_front(append);
        }
    }

    /// All appends, by workspace in the order of their turns.
    pub(crate) fn take_appends(&mut self) -> impl Iterator<Item = Append> {
        let mut appends = std::mem::take(&mut self.appends);
        std::mem::take(&mut self.turns)
            .into_iter()
            .filter_map(move |workspace| appends.remove(&workspace))
            .flatten()
    }

    /// The request to stop, once nothing else waits.
    pub(crate) fn take_stop(&mut self) -> Option<oneshot::Sender<()>> {
        if self.again.is_none()
            && self.turns.is_empty()
            && self.settlements.is_empty()
            && self.jobs.is_empty()
            && self.effects.is_empty()
        {
            self.stop.take()
        } else {
            None
        }
    }

    /// Whether the journal was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Whether settlements wait.
    pub(crate) fn has_settlements(&self) -> bool {
        !self.settlements.is_empty()
    }
}

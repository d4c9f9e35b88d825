//! One transaction of the group commit, events and settlements, and the queue of what waits for the next one.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::command::{Append, AttemptRecord, SettleCommand};
use pointsman_domain::{
    attempt::AttemptOutcome,
    event::{NewEvent, PlatformEvent},
    id::{EventId, InstallationId, WorkspaceId},
    seq::Seq,
    timestamp::Timestamp,
};

/// Bounds of one transaction. It takes at least one append, however large.
const MAX_EVENTS: usize = 512;
const MAX_BYTES: usize = 4 * 1024 * 1024;
const MAX_SETTLEMENTS: usize = 1024;

/// The appends and settlements of one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    pub appends: Vec<StagedAppend>,
    pub settlements: Vec<SettleCommand>,
    /// Those of the settled installations that have effects marked as done.
    pub marked: HashSet<InstallationId>,
    /// The workspaces that it marks as due.
    pub due: BTreeSet<WorkspaceId>,
    /// Set where the batch is written for the second time: its publishers wait until then.
    pub again_until: Option<Instant>,
}

/// The new cursor of an installation, and when the attempts that are settled with it last succeeded and failed.
#[derive(Clone, Debug)]
pub struct Cursor {
    pub installation_id: InstallationId,
    pub workspace_id: WorkspaceId,
    pub settled: Seq,
    pub generation: i64,
    pub last_success_at: Option<Timestamp>,
    pub last_failure_at: Option<Timestamp>,
}

/// An append, and its events at the positions that they get if the batch commits.
#[derive(Debug)]
pub struct StagedAppend {
    pub append: Append,
    pub events: Vec<Arc<PlatformEvent>>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.settlements.is_empty()
    }

    pub fn len(&self) -> usize {
        self.appends.len() + self.settlements.len()
    }

    /// Gives the events their positions after `heads`. Returns the heads that the caller stores once the batch is
    /// committed.
    pub fn stage(&mut self, heads: &HashMap<WorkspaceId, Seq>) -> HashMap<WorkspaceId, Seq> {
        let mut staged: HashMap<WorkspaceId, Seq> = HashMap::new();
        for StagedAppend { append, events } in &mut self.appends {
            let head = staged
                .entry(append.workspace_id)
                .or_insert_with(|| heads.get(&append.workspace_id).copied().unwrap_or(Seq::ZERO));
            events.clear();
            for event in &append.events {
                *head = head.next();
                events.push(append.place(event, *head));
            }
        }
        staged
    }

    /// Halves the appends and the settlements. Where there is at most one of each, splits them by kind.
    pub fn split(mut self) -> (Self, Self) {
        let appends = self.appends.split_off(self.appends.len() / 2);
        let settlements = self.settlements.split_off(self.settlements.len() / 2);
        let again_until = self.again_until;
        if self.appends.is_empty() && self.settlements.is_empty() {
            return (
                Self {
                    appends,
                    again_until,
                    ..Self::default()
                },
                Self {
                    settlements,
                    ..Self::default()
                },
            );
        }
        let rest = Self {
            appends,
            settlements,
            again_until,
            ..Self::default()
        };
        (self, rest)
    }

    pub fn events(&self) -> Vec<&PlatformEvent> {
        self.appends
            .iter()
            .flat_map(|staged| staged.events.iter().map(Arc::as_ref))
            .collect()
    }

    /// The new cursors. Of several settlements of one installation the furthest counts.
    pub fn cursors(&self) -> Vec<Cursor> {
        let mut cursors: HashMap<InstallationId, Cursor> = HashMap::new();
        for command in &self.settlements {
            let cursor = cursors.entry(command.installation_id).or_insert(Cursor {
                installation_id: command.installation_id,
                workspace_id: command.workspace_id,
                settled: command.settled,
                generation: command.generation,
                last_success_at: None,
                last_failure_at: None,
            });
            cursor.settled = cursor.settled.max(command.settled);
            for attempt in &command.attempts {
                cursor.note(attempt);
            }
        }
        cursors.into_values().collect()
    }

    /// The workspaces in which it makes work: by an event, or by a delivery that is tried again later. May name one
    /// several times.
    pub(crate) fn workspaces_with_work(&self) -> impl Iterator<Item = WorkspaceId> {
        let appends = self.appends.iter().map(|staged| staged.append.workspace_id);
        let parks = self.settlements.iter().filter(|command| !command.park.is_empty());
        appends.chain(parks.map(|command| command.workspace_id))
    }

    /// The ids of its events.
    pub fn event_ids(&self) -> Vec<EventId> {
        self.appends
            .iter()
            .flat_map(|staged| staged.append.events.iter().map(|event| event.id))
            .collect()
    }

    /// The heads after this batch, whose events were found at `positions`.
    pub fn heads_of(&self, positions: &HashMap<EventId, Seq>) -> HashMap<WorkspaceId, Seq> {
        let mut heads: HashMap<WorkspaceId, Seq> = HashMap::new();
        for StagedAppend { append, .. } in &self.appends {
            for seq in append.events.iter().filter_map(|event| positions.get(&event.id)) {
                let head = heads.entry(append.workspace_id).or_default();
                *head = (*head).max(*seq);
            }
        }
        heads
    }

    /// The batch with its events at `positions`, where they were found.
    pub fn with_events(mut self, positions: &HashMap<EventId, Seq>) -> Self {
        for StagedAppend { append, events } in &mut self.appends {
            *events = append
                .events
                .iter()
                .filter_map(|event| positions.get(&event.id).map(|seq| (event, *seq)))
                .map(|(event, seq)| append.place(event, seq))
                .collect();
        }
        self
    }
}

impl Cursor {
    fn note(&mut self, attempt: &AttemptRecord) {
        let last = match attempt.outcome {
            AttemptOutcome::Delivered => &mut self.last_success_at,
            _ => &mut self.last_failure_at,
        };
        *last = (*last).max(Some(attempt.attempted_at));
    }
}

/// Appends and settlements in the order of their arrival. Each workspace has its own queue of appends, and the queues
/// are served round-robin, so that many appends of one workspace do not delay the others. The senders bound the
/// length: admission by `publish.max_in_flight`, lanes by one outstanding settlement each.
#[derive(Default)]
pub(crate) struct BatchQueue {
    appends: HashMap<WorkspaceId, VecDeque<Append>>,
    /// The workspaces of `appends` in round-robin order; the first is served next.
    round_robin: VecDeque<WorkspaceId>,
    settlements: VecDeque<SettleCommand>,
    /// How many settlements have come since the start.
    settlements_received: u64,
    /// A batch that is known not to be recorded. It is written a second time, before everything else.
    second_write: Option<Batch>,
}

impl BatchQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.second_write.is_none() && self.round_robin.is_empty() && self.settlements.is_empty()
    }

    /// How many settlements have come since the start.
    pub(crate) const fn settlements_received(&self) -> u64 {
        self.settlements_received
    }

    /// How many of them wait no longer. They are taken in the order of their arrival.
    pub(crate) fn settlements_taken(&self) -> u64 {
        self.settlements_received - self.settlements.len() as u64
    }

    pub(crate) fn push_append(&mut self, append: Append) {
        let queue = self.appends.entry(append.workspace_id).or_default();
        if queue.is_empty() {
            self.round_robin.push_back(append.workspace_id);
        }
        queue.push_back(append);
    }

    pub(crate) fn push_settlement(&mut self, command: SettleCommand) {
        self.settlements.push_back(command);
        self.settlements_received += 1;
    }

    /// The next transaction: the batch that is to be written a second time, or else one append of each workspace in
    /// round-robin order until the transaction is full; and the settlements.
    pub(crate) fn next_batch(&mut self) -> Batch {
        let mut batch = self.second_write.take().unwrap_or_default();
        if batch.appends.is_empty() {
            self.fill(&mut batch);
        }
        let settlements = self.settlements.len().min(MAX_SETTLEMENTS);
        batch.settlements.extend(self.settlements.drain(..settlements));
        batch
    }

    fn fill(&mut self, batch: &mut Batch) {
        let (mut events, mut bytes) = (0, 0);
        while let Some(workspace) = self.round_robin.pop_front() {
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
                self.round_robin.push_back(workspace);
            }
            if events >= MAX_EVENTS || bytes >= MAX_BYTES {
                break;
            }
        }
    }

    /// Queues the batch for its second write, before all others. At most one batch waits for a second write.
    pub(crate) fn write_again(&mut self, batch: Batch) {
        self.second_write = Some(batch);
    }

    /// Puts a batch back that was not tried, before everything that came later.
    pub(crate) fn put_back(&mut self, batch: Batch) {
        for command in batch.settlements.into_iter().rev() {
            self.settlements.push_front(command);
        }
        for StagedAppend { append, .. } in batch.appends.into_iter().rev() {
            let workspace = append.workspace_id;
            let queue = self.appends.entry(workspace).or_default();
            if queue.is_empty() {
                self.round_robin.push_front(workspace);
            }
            queue.push_front(append);
        }
    }

    /// Takes all appends, except those of a batch that waits for its second write. By workspace, in round-robin order.
    pub(crate) fn take_appends(&mut self) -> impl Iterator<Item = Append> + use<> {
        let mut appends = std::mem::take(&mut self.appends);
        std::mem::take(&mut self.round_robin)
            .into_iter()
            .filter_map(move |workspace| appends.remove(&workspace))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use uuid::Uuid;

    use super::*;
    use pointsman_domain::event_key::EventKey;

    fn append(workspace: u128, payload: &str) -> Append {
        Append {
            workspace_id: WorkspaceId::new(Uuid::from_u128(workspace)),
            events: vec![NewEvent {
                id: EventId::new(Uuid::nil()),
                event_key: EventKey::parse("a.b").unwrap(),
                schema_version: None,
                actor: None,
                payload: payload.into(),
                occurred_at: Timestamp::from_millis(0),
                traceparent: None,
                cause: None,
            }],
            idempotency: None,
            reply: oneshot::channel().0,
            derived: false,
            permit: None,
            latch: None,
        }
    }

    fn workspaces(batch: &Batch) -> Vec<u128> {
        let of = |staged: &StagedAppend| staged.append.workspace_id.uuid().as_u128();
        batch.appends.iter().map(of).collect()
    }

    #[test]
    fn workspaces_are_served_round_robin() {
        let mut queue = BatchQueue::default();
        for workspace in [1, 1, 1, 2, 2, 3] {
            queue.push_append(append(workspace, "{}"));
        }
        assert_eq!(workspaces(&queue.next_batch()), [1, 2, 3, 1, 2, 1]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_full_transaction_leaves_the_others_for_the_next_one() {
        let mut queue = BatchQueue::default();
        let large = "x".repeat(MAX_BYTES);
        for workspace in [1, 1, 2] {
            queue.push_append(append(workspace, &large));
        }
        assert_eq!(workspaces(&queue.next_batch()), [1], "one, however large");
        assert_eq!(workspaces(&queue.next_batch()), [2]);
        assert_eq!(workspaces(&queue.next_batch()), [1]);
    }

    #[test]
    fn a_second_write_comes_first_and_alone_and_what_is_put_back_next() {
        let mut queue = BatchQueue::default();
        queue.push_append(append(1, "{}"));
        let lost = queue.next_batch();
        queue.push_append(append(2, "{}"));
        let untried = queue.next_batch();
        queue.push_append(append(3, "{}"));
        queue.put_back(untried);
        queue.write_again(lost);
        assert!(!queue.is_empty());
        assert_eq!(workspaces(&queue.next_batch()), [1]);
        assert_eq!(workspaces(&queue.next_batch()), [2, 3]);
    }
}

//! The appends and settlements that wait for the next transaction.

use std::collections::{HashMap, VecDeque};

use super::{
    batch::{Batch, StagedAppend},
    command::{Append, SettleCommand},
};
use pointsman_domain::{event::NewEvent, id::WorkspaceId};

/// Bounds of one transaction. It takes at least one append, however large.
const MAX_EVENTS: usize = 512;
const MAX_BYTES: usize = 4 * 1024 * 1024;
const MAX_SETTLEMENTS: usize = 1024;

/// Appends and settlements in the order of their arrival. Each workspace has its own queue of appends, and the queues
/// are served round-robin, so that many appends of one workspace do not delay the others. The senders bound the
/// length: admission by `publish.max_in_flight`, lanes by one outstanding settlement each.
#[derive(Default)]
pub(crate) struct BatchQueue {
    appends: HashMap<WorkspaceId, VecDeque<Append>>,
    /// The workspaces of `appends` in round-robin order; the first is served next.
    round_robin: VecDeque<WorkspaceId>,
    settlements: VecDeque<SettleCommand>,
    /// A batch that is known not to be recorded. It is written a second time, before everything else.
    second_write: Option<Batch>,
}

impl BatchQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.second_write.is_none() && self.round_robin.is_empty() && self.settlements.is_empty()
    }

    pub(crate) fn has_settlements(&self) -> bool {
        !self.settlements.is_empty()
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
    use pointsman_domain::{event_key::EventKey, id::EventId, timestamp::Timestamp};

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

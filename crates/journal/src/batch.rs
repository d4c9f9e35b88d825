//! One transaction of the group commit: events and settlements.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use super::command::{Append, AttemptRecord, SettleCommand};
use pointsman_domain::{
    attempt::AttemptOutcome,
    event::PlatformEvent,
    id::{EventId, InstallationId, WorkspaceId},
    seq::Seq,
    timestamp::Timestamp,
};

/// The appends and settlements of one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    pub appends: Vec<StagedAppend>,
    pub settlements: Vec<SettleCommand>,
    /// Those of the settled installations that have effects marked as done.
    pub marked: HashSet<InstallationId>,
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

    /// Gives the events their positions after `heads`, which do not change: they move at commit. Returns the heads
    /// after the commit.
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

//! What retention has done, for admins and for the log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    timestamp::Timestamp,
};
use tokio::sync::watch;

/// Workspaces that a report names as holding their events back.
const MOST_HELD: usize = 20;
/// How often the log says what was deleted.
const LINE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Rows that were deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeletedRows {
    pub events: u64,
    pub attempts: u64,
    pub dead_letters: u64,
    /// Ids that kept publications of handlers single.
    pub derived_ids: u64,
    pub chat_messages: u64,
    /// Spans of subscriptions that ended.
    pub spans: u64,
    pub installations: u64,
}

impl DeletedRows {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.attempts += other.attempts;
        self.dead_letters += other.dead_letters;
        self.derived_ids += other.derived_ids;
        self.chat_messages += other.chat_messages;
        self.spans += other.spans;
        self.installations += other.installations;
    }
}

/// Why an event is kept longer than its retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// It is not delivered yet: the extension is behind, disabled or paused.
    Undelivered,
    /// Its delivery waits for the next attempt.
    Retry,
}

/// A workspace that keeps events longer than their retention, and the installation that needs the oldest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub workspace: WorkspaceId,
    pub installation: InstallationId,
    pub why: HeldBy,
    /// When the oldest event was accepted.
    pub oldest_at: Timestamp,
}

/// The workspaces that keep events, of which the first are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldBack {
    pub first: Vec<Held>,
    pub workspaces: u64,
}

impl HeldBack {
    pub(super) fn extend(&mut self, held: Option<Held>) {
        if let Some(held) = held {
            self.workspaces += 1;
            if self.first.len() < MOST_HELD {
                self.first.push(held);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What one pass has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPass {
    pub began_at: Timestamp,
    pub ended_at: Timestamp,
    pub deleted: DeletedRows,
    pub held: HeldBack,
    /// Bytes beyond `retention.max_bytes` that could not be freed.
    pub excess_bytes: u64,
}

impl RetentionPass {
    pub(super) fn begun(at: Timestamp) -> Self {
        Self {
            began_at: at,
            ended_at: at,
            deleted: DeletedRows::default(),
            held: HeldBack::default(),
            excess_bytes: 0,
        }
    }
}

/// What retention does, to be read at any time.
#[derive(Debug)]
pub struct RetentionState {
    from: Timestamp,
    passes: watch::Sender<Option<RetentionPass>>,
    deleted_workspaces: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Since the last line in the log.
    unlogged: DeletedRows,
    logged_at: Option<Timestamp>,
}

impl RetentionState {
    pub(crate) fn new(from: Timestamp) -> Self {
        Self {
            from,
            passes: watch::Sender::default(),
            deleted_workspaces: watch::Sender::default(),
            state: Mutex::default(),
        }
    }

    /// Nothing is deleted before this time.
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// The last pass that has ended since the start, and each that ends.
    pub fn passes(&self) -> watch::Receiver<Option<RetentionPass>> {
        self.passes.subscribe()
    }

    /// Of how many deleted workspaces nothing is left, since the start.
    pub fn deleted_workspaces(&self) -> watch::Receiver<u64> {
        self.deleted_workspaces.subscribe()
    }

    pub(super) fn workspace_is_gone(&self) {
        self.deleted_workspaces.send_modify(|count| *count += 1);
    }

    /// Once a day the log says what was deleted.
    pub(super) fn publish(&self, pass: RetentionPass) {
        let mut state = self.lock();
        state.unlogged.add(pass.deleted);
        let is_due = state
            .logged_at
            .is_none_or(|at| pass.ended_at.since(at) >= LINE_EVERY);
        if is_due && (state.unlogged != DeletedRows::default() || pass.held.workspaces > 0) {
            let deleted = std::mem::take(&mut state.unlogged);
            state.logged_at = Some(pass.ended_at);
            log::info!(
                events = deleted.events, attempts = deleted.attempts, dead_letters = deleted.dead_letters,
                chat_messages = deleted.chat_messages, installations = deleted.installations,
                workspaces_held_back = pass.held.workspaces;
                "what was older than its retention is deleted"
            );
        }
        let was_excess = self
            .passes
            .borrow()
            .as_ref()
            .is_some_and(|last| last.excess_bytes > 0);
        if pass.excess_bytes > 0 && !was_excess {
            log::warn!(excess_bytes = pass.excess_bytes;
                "the database is larger than retention.max_bytes, and the rest of it is needed");
        }
        drop(state);
        self.passes.send_replace(Some(pass));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

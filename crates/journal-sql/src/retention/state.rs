//! What retention has done, for admins and for the log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    timestamp::Timestamp,
};
use sea_orm::{DbErr, Value};
use tokio::sync::watch;

use super::{Planner, events::first_event_after, history::first_id_of};
use uuid::Uuid;

/// Workspaces that a report names as holding their events back.
const MOST_HELD: usize = 20;
/// How often the log says what was deleted.
const LINE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Rows that the announcement counts of each kind.
const MOST_COUNTED: i64 = 100_000;

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

impl Planner {
    /// Where nothing is deleted yet, the log says when that begins, and what goes then.
    pub(super) async fn announce(&self) {
        let (now, from) = (self.parts.clock.now(), self.parts.state.from());
        if now >= from {
            return;
        }
        match self.count_old(from).await {
            Ok([events, attempts, dead_letters]) => log::warn!(
                from:% = from.to_rfc3339(), events, attempts, dead_letters;
                "what is older than its retention will be deleted from then on; change [retention] to keep it"
            ),
            Err(error) => log::warn!(from:% = from.to_rfc3339(), error:%;
                "what is older than its retention will be deleted from then on; it cannot be counted"),
        }
    }

    /// Old events, attempts and letters, each at most [`MOST_COUNTED`].
    async fn count_old(&self, from: Timestamp) -> Result<[i64; 3], DbErr> {
        let cutoffs = self.cutoffs(from);
        let counted = |rows: &str| {
            format!("SELECT COUNT(*) AS found FROM (SELECT 1 FROM {rows} < {{1}} LIMIT {{2}}) t")
        };
        let letters = counted("dead_letter_event WHERE failed_at");
        let attempts = counted("ext_delivery_attempt WHERE event_id");
        let mut events = 0;
        let mut after = Uuid::nil();
        while let Some(first) = first_event_after(&self.parts.reader, after).await? {
            after = first.workspace.uuid();
            if first.occurred_at < cutoffs.events {
                events += self.count_events(first.workspace, cutoffs.events).await?;
            }
            if events >= MOST_COUNTED {
                break;
            }
        }
        Ok([
            events.min(MOST_COUNTED),
            self.count(&attempts, first_id_of(cutoffs.attempts).into())
                .await?,
            self.count(&letters, cutoffs.dead_letters.millis().into()).await?,
        ])
    }

    async fn count(&self, sql: &str, before: Value) -> Result<i64, DbErr> {
        let rows = self.rows(sql, vec![before, MOST_COUNTED.into()]).await?;
        rows.first().map_or(Ok(0), |row| row.try_get("", "found"))
    }

    async fn count_events(&self, workspace: WorkspaceId, cutoff: Timestamp) -> Result<i64, DbErr> {
        let sql = "SELECT COUNT(*) AS found FROM (SELECT occurred_at FROM platform_event WHERE workspace_id = {1} \
                   ORDER BY seq LIMIT {2}) t WHERE occurred_at < {3}";
        let values = vec![
            workspace.uuid().into(),
            MOST_COUNTED.into(),
            cutoff.millis().into(),
        ];
        let rows = self.rows(sql, values).await?;
        rows.first().map_or(Ok(0), |row| row.try_get("", "found"))
    }
}

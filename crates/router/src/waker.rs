//! The waker: finds the workspaces in which something is due and that have no actor, and starts them.
//!
//! It reads the table of what is due by its index, a page at a time, and never the installations of all workspaces. A
//! workspace that has an actor stays in the table, marked as due, until it rests: a page costs next to nothing for
//! those. For the others the journal is asked whether there is something to do. No actor is believed that there is
//! nothing: when it stops, the waker asks the journal, and has the row say when there is something to do next.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use sea_orm::DbErr;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{mail::workspace::AwaitStart, shared::Shared};
use pointsman_domain::{id::WorkspaceId, timestamp::Timestamp};
use pointsman_journal::{DueRow, Moment, Rested};

/// Rows of a page, at most.
const LARGEST_PAGE: usize = 512;
/// A page that took longer than this makes the next one half as large; one that took less than half of it, twice as
/// large. Workspaces with many installations take long. A page of the usual ones takes 10 ms, and on a busy machine a
/// page of one may take 50 ms: it must not become small for that.
const PAGE_TIME: Duration = Duration::from_secs(1);
/// Workspaces that the waker starts at the same time, so that thousands of them that are behind do not delay
/// publishers and admins.
const STARTS_AT_ONCE: usize = 32;
/// How long the waker waits for those before it goes on with the next.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// A look pauses after each page for as long as the page took, and waits for corrections, for up to so long in all.
const PAUSES: Duration = Duration::from_secs(15);

/// What a look reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// All rows, also those that are not due yet, without pauses. A start trusts no time that an earlier process has
    /// written: the settings may have changed, and the database may be that of a backup.
    Everything,
    /// All rows that are due.
    AllDue,
    /// The rows that have become due after that time.
    DueAfter(Timestamp),
}

/// A look, until its end.
pub(crate) struct Waker {
    shared: Arc<Shared>,
    look: Look,
    page_size: usize,
    paused: Duration,
    /// Ends when the last correction is written. There is one at a time.
    correction: Option<oneshot::Receiver<()>>,
    /// Workspaces whose actors have stopped. They are marked as due still.
    left: Vec<WorkspaceId>,
    /// Rows are left that are to be corrected.
    has_left_some: bool,
}

/// What was found of workspaces without an actor.
struct Verified {
    /// Everything that was recorded up to this moment is in it.
    as_of: Moment,
    rows: Vec<DueRow>,
    next_work: HashMap<WorkspaceId, Timestamp>,
}

impl Waker {
    /// `left` are workspaces whose actors have stopped, `page_size` is how many rows the last look read at a time.
    pub(crate) fn new(shared: Arc<Shared>, look: Look, left: Vec<WorkspaceId>, page_size: usize) -> Self {
        Self {
            shared,
            look,
            page_size: page_size.clamp(1, LARGEST_PAGE),
            paused: Duration::ZERO,
            correction: None,
            left,
            has_left_some: false,
        }
    }

    /// How many rows the next look is to read at a time.
    pub(crate) const fn page_size(&self) -> usize {
        self.page_size
    }

    /// How long the look has left the database to others.
    pub(crate) const fn paused(&self) -> Duration {
        self.paused
    }

    /// Whether rows are left that say that something is due where nothing is.
    pub(crate) const fn has_left_some(&self) -> bool {
        self.has_left_some
    }

    /// Starts the actors of all workspaces of the look with something to do. Returns when the next one is due.
    pub(crate) async fn run(&mut self) -> Result<Option<Timestamp>, DbErr> {
        let now = self.shared.clock.now();
        while !self.left.is_empty() {
            let rest = self.left.split_off(self.page_size.min(self.left.len()));
            let page = std::mem::replace(&mut self.left, rest).into_iter();
            let marked = page.map(|workspace_id| DueRow {
                due_at: DueRow::AT_ONCE,
                workspace_id,
            });
            self.look_at(marked.collect(), now).await?;
        }
        let (mut after, by) = self.range(now);
        loop {
            let page = self.shared.journal.due_page(after, by, self.page_size).await?;
            let Some(last) = page.last() else { break };
            after = *last;
            self.look_at(page, now).await?;
        }
        self.shared.journal.earliest_due_after(now).await
    }

    /// Starts the actors of those that have something to do, and has the rows of the others corrected.
    async fn look_at(&mut self, page: Vec<DueRow>, now: Timestamp) -> Result<(), DbErr> {
        let began = self.shared.clock.instant();
        let verified = self.verify(page).await;
        let took = self.shared.clock.elapsed(began);
        self.adapt(took, verified.is_err());
        let verified = verified?;
        self.wake(&verified, now).await;
        self.correct(verified, now).await;
        self.shared.looks.goes_on(self.shared.clock.instant());
        self.pause(took).await;
        Ok(())
    }

    fn range(&self, now: Timestamp) -> (DueRow, Timestamp) {
        let after = |due_at, id| DueRow {
            due_at,
            workspace_id: WorkspaceId::new(id),
        };
        let start = after(Timestamp::from_millis(i64::MIN), uuid::Uuid::nil());
        match self.look {
            Look::Everything => (start, Timestamp::MAX),
            Look::AllDue => (start, now),
            Look::DueAfter(time) => (after(time, uuid::Uuid::max()), now),
        }
    }

    /// Asks when there is something to do in those of the workspaces that have no actor.
    async fn verify(&self, page: Vec<DueRow>) -> Result<Verified, DbErr> {
        let shared = &self.shared;
        let is_idle = |row: &DueRow| !shared.is_active(row.workspace_id);
        let rows: Vec<DueRow> = page.into_iter().filter(is_idle).collect();
        let as_of = shared.journal.moment();
        let next_work = if rows.is_empty() {
            HashMap::new()
        } else {
            let workspaces = rows.iter().map(|row| row.workspace_id).collect();
            shared.journal.next_work(workspaces).await?
        };
        Ok(Verified {
            as_of,
            rows,
            next_work,
        })
    }

    /// A page that took too long, or that failed, may have been too large.
    fn adapt(&mut self, took: Duration, has_failed: bool) {
        if has_failed || took > PAGE_TIME {
            self.page_size = (self.page_size / 2).max(1);
        } else if took < PAGE_TIME / 2 {
            self.page_size = (self.page_size * 2).min(LARGEST_PAGE);
        }
    }

    /// Starts the actors, a few at a time.
    async fn wake(&self, verified: &Verified, now: Timestamp) {
        let mut workspaces = verified
            .rows
            .iter()
            .map(|row| row.workspace_id)
            .filter(|workspace| verified.next_work.get(workspace).is_some_and(|at| *at <= now));
        loop {
            let started: Vec<_> = workspaces
                .by_ref()
                .filter_map(|workspace| self.shared.activate(workspace))
                .take(STARTS_AT_ONCE)
                .map(|address| address.ask(AwaitStart))
                .collect();
            if started.is_empty() {
                break;
            }
            // An actor that has died meanwhile is replaced. One that is slow delays the others by the timeout at most.
            let _ = timeout(START_TIMEOUT, join_all(started)).await;
        }
    }

    /// Has the rows corrected of workspaces without anything to do now. Where the journal is busy with the last
    /// correction for too long, a later look does it.
    async fn correct(&mut self, verified: Verified, now: Timestamp) {
        let next_work = &verified.next_work;
        let rests: Vec<Rested> = verified
            .rows
            .iter()
            .map(|row| (row, next_work.get(&row.workspace_id).copied()))
            .filter(|(row, next)| next.is_none_or(|at| at > now) && *next != Some(row.due_at))
            .map(|(row, next)| Rested {
                workspace_id: row.workspace_id,
                due_at: next,
            })
            .collect();
        if rests.is_empty() {
            return;
        }
        if self.is_journal_free().await {
            self.correction = Some(self.shared.journal.rest(verified.as_of, rests));
        } else {
            self.has_left_some = true;
        }
    }

    /// Whether the last correction is written. The first look of a start does not wait for that.
    async fn is_journal_free(&mut self) -> bool {
        let Some(correction) = &mut self.correction else {
            return true;
        };
        let budget = match self.look {
            Look::Everything => Duration::ZERO,
            Look::AllDue | Look::DueAfter(_) => PAUSES.saturating_sub(self.paused),
        };
        let began = self.shared.clock.instant();
        let is_free = timeout(budget, correction).await.is_ok();
        self.paused += self.shared.clock.elapsed(began);
        if is_free {
            self.correction = None;
        }
        is_free
    }

    /// Leaves the database to others, where nobody waits for the first look of a start.
    async fn pause(&mut self, took: Duration) {
        if self.look != Look::Everything && self.paused < PAUSES {
            self.paused += took;
            sleep(took).await;
        }
    }
}

//! The rests of workspaces: gathered, and written a few times a second at most, since nobody waits for them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{bounds::bounded, connection::WriterConnection, lanes::Lanes, workspace_logs::WorkspaceLogs};
use crate::{command::RestCommand, due::Rested, notice::Notice, storage::Outcome};
use pointsman_clock::Clock;

/// How long rests wait for others.
const GATHERING: Duration = Duration::from_millis(500);
/// Rests of one transaction, at most; a command of the waker is not divided.
const MAX_RESTS: usize = 256;
/// The next transaction comes no sooner than this many times as long as the last one took.
const PAUSE_FACTOR: u32 = 3;

pub(super) struct Rests {
    waiting: VecDeque<RestCommand>,
    /// How many rests the commands that wait have.
    rests: usize,
    /// Since when the first of them has waited.
    since: Option<Instant>,
    /// The next transaction comes no sooner.
    not_before: Instant,
    clock: Clock,
}

impl Rests {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            waiting: VecDeque::new(),
            rests: 0,
            since: None,
            not_before: clock.instant(),
            clock,
        }
    }

    pub(super) fn push(&mut self, command: RestCommand) {
        self.since.get_or_insert_with(|| self.clock.instant());
        self.rests += command.rests.len();
        self.waiting.push_back(command);
    }

    /// How long until the next transaction is due; none where nothing waits.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        Some(self.due_at()?.saturating_duration_since(now))
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    fn due_at(&self) -> Option<Instant> {
        let gathered = self.since? + GATHERING;
        let due_at = if self.rests >= MAX_RESTS {
            self.not_before
        } else {
            gathered.max(self.not_before)
        };
        Some(due_at)
    }

    /// Forgets those that wait: there is no connection. Their workspaces stay marked.
    pub(super) fn forget_waiting(&mut self) {
        self.waiting.clear();
        self.rests = 0;
        self.since = None;
    }

    /// Writes some of those that wait, except where work was recorded since they were decided or the
    /// workspace is deleted. Those that cannot be
    /// written are dropped: the waker finds the marks. False where none waits, or there is no connection.
    pub(super) async fn write(
        &mut self,
        connection: &mut WriterConnection,
        logs: &mut WorkspaceLogs,
        lanes: &Lanes,
    ) -> bool {
        let (commands, rests) = self.take(logs, lanes);
        let Some(current) = connection.get().filter(|_| !commands.is_empty()) else {
            return false;
        };
        if rests.is_empty() {
            return true;
        }
        let start = self.clock.instant();
        match bounded(current.rest(&rests)).await {
            Outcome::Committed(()) => {
                connection.answered();
                logs.due.rested(rests.iter().map(|rest| rest.workspace_id));
                if let Some(at) = rests.iter().filter_map(|rest| rest.due_at).min() {
                    logs.tell(Notice::DueBy(at));
                }
            }
            Outcome::RolledBack(error) => log::error!(error:%; "the rest of workspaces was refused"),
            Outcome::Unknown | Outcome::NotBegun => connection.lose("the rest of workspaces failed"),
        }
        let end = self.clock.instant();
        self.not_before = end + self.clock.elapsed(start) * PAUSE_FACTOR;
        true
    }

    /// The commands of the next transaction, which end when they are dropped, and the rests that may be written.
    fn take(&mut self, logs: &WorkspaceLogs, lanes: &Lanes) -> (Vec<RestCommand>, Vec<Rested>) {
        let (mut commands, mut rests) = (Vec::new(), Vec::new());
        while rests.len() < MAX_RESTS
            && let Some(command) = self.waiting.pop_front()
        {
            let is_known = |rest: &&Rested| {
                let workspace = rest.workspace_id;
                logs.due.is_known_at(workspace, command.as_of) && !lanes.is_deleted(workspace)
            };
            rests.extend(command.rests.iter().filter(is_known));
            self.rests -= command.rests.len();
            commands.push(command);
        }
        self.since = (!self.waiting.is_empty()).then(|| self.clock.instant());
        (commands, last_of_each(rests))
    }
}

/// A statement may touch a row only once. The latest rest of a workspace counts.
fn last_of_each(rests: Vec<Rested>) -> Vec<Rested> {
    let latest: std::collections::BTreeMap<_, _> =
        rests.into_iter().map(|rest| (rest.workspace_id, rest)).collect();
    latest.into_values().collect()
}

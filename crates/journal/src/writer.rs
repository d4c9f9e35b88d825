//! The only writer: whatever arrives while a transaction commits is committed with the next one.

mod bounds;
mod commit;
mod connection;
mod deadline;
mod due_marks;
mod effects;
mod history;
mod jobs;
mod lanes;
mod outage;
mod reconnect;
mod recovery;
mod rests;
mod running_effect;
mod slow_effects;
mod timekeeping;
mod workspace_logs;

use std::fmt;

use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use self::{
    commit::GroupCommit, connection::WriterConnection, effects::Effects, history::History, jobs::Jobs,
    lanes::Lanes, rests::Rests, timekeeping::Timekeeping, workspace_logs::WorkspaceLogs,
};
use crate::{
    command::{Inbox, WriterCommand},
    due::Now,
    parts::JournalParts,
};
use pointsman_clock::Clock;

/// Jobs done between two batches, at most.
const JOBS_PER_CYCLE: usize = 8;

/// The one that writes. It decides what is written and when; its storage, how. Each part keeps its own state; this
/// coordinates them.
pub struct Writer {
    inbox: Inbox,
    connection: WriterConnection,
    logs: WorkspaceLogs,
    lanes: Lanes,
    commits: GroupCommit,
    effects: Effects,
    jobs: Jobs,
    rests: Rests,
    history: History,
    timekeeping: Timekeeping,
    clock: Clock,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// `now` is moved on with everything of which the router has been told.
    pub(crate) fn new(
        parts: JournalParts,
        commands: mpsc::UnboundedReceiver<WriterCommand>,
        now: Now,
    ) -> Self {
        let clock = parts.clock;
        Self {
            inbox: Inbox::new(commands),
            connection: WriterConnection::new(parts.storage, parts.connection, parts.health, clock),
            logs: WorkspaceLogs::new(parts.notices, now),
            lanes: Lanes::new(parts.last_generation, parts.deleted),
            commits: GroupCommit::new(clock),
            effects: Effects::new(clock),
            jobs: Jobs::default(),
            rests: Rests::new(clock),
            history: History::default(),
            timekeeping: Timekeeping::new(clock),
            clock,
        }
    }

    /// Runs until it is told to stop, or every handle of the journal is gone.
    pub async fn run(mut self) {
        let stopped = self.run_cycles().await;
        // Once: where thousands wait, the next start has a look at the others.
        self.write_rests().await;
        while self.history.write(&mut self.connection, &self.lanes).await {}
        self.timekeeping.run(&mut self.connection).await;
        self.connection.close().await;
        if let Some(reply) = stopped {
            let _ = reply.send(());
        }
    }

    /// Returns the request to stop, once everything before it is committed; none where every handle is gone.
    async fn run_cycles(&mut self) -> Option<oneshot::Sender<()>> {
        loop {
            if !self.connection.is_up() && !self.recover().await {
                return None;
            }
            if !self.has_work() && !self.wait().await {
                return None;
            }
            while let Some(command) = self.inbox.received() {
                self.take(command);
            }
            self.cycle().await;
            if self.inbox.is_stopping() {
                self.stop_slow_effects().await;
            }
            if self.is_done()
                && let Some(reply) = self.inbox.take_stop()
            {
                return Some(reply);
            }
        }
    }

    /// Whether there is something to do now. Effects do not count: they may have to wait for their time.
    fn has_work(&self) -> bool {
        !self.commits.is_empty() || !self.jobs.is_empty() || self.inbox.is_stopping()
    }

    /// Whether everything that has arrived is answered. Without a connection a batch may be in doubt, which is resolved
    /// first.
    fn is_done(&self) -> bool {
        self.connection.is_up() && self.commits.is_empty() && self.jobs.is_empty() && self.effects.is_empty()
    }

    /// Waits for the first command, or until something is due, which the cycle does. False when no handle is left.
    async fn wait(&mut self) -> bool {
        let now = self.clock.instant();
        let dues = [
            Some(self.timekeeping.wait(now)),
            self.history.wait(now),
            self.effects.wait(now, self.connection.slow_session()),
            self.rests.wait(now),
        ];
        let pause = dues.into_iter().flatten().min().unwrap_or_default();
        tokio::select! {
            biased;
            command = self.inbox.receive() => match command {
                Some(command) => self.take(command),
                None => return false,
            },
            () = self.connection.slow_work_done() => {}
            () = sleep(pause) => {}
        }
        true
    }

    /// Hands the command to the part that does it.
    fn take(&mut self, command: WriterCommand) {
        match command {
            WriterCommand::Append(append) => self.commits.push_append(append),
            WriterCommand::Settle(command) => self.commits.push_settlement(*command),
            WriterCommand::Effect(command) => self.effects.push(*command),
            WriterCommand::Rest(command) => self.rests.push(command),
            WriterCommand::Job(job) => self.jobs.push(job, self.commits.settlements_received()),
            WriterCommand::Stop(reply) => self.inbox.request_stop(reply),
        }
    }

    /// One batch, then everything that is done between two batches.
    async fn cycle(&mut self) {
        self.connection.begin_cycle();
        self.commit_batch().await;
        self.run_effects().await;
        self.run_jobs().await;
        self.logs.due.all_is_told();
        // Tending that does not end still uses the connection: nothing else of this cycle may wait for it.
        if self.connection.tend().await {
            self.write_what_is_due().await;
        }
    }

    async fn commit_batch(&mut self) {
        let batch = self.commits.next_batch();
        if batch.is_empty() {
            return;
        }
        self.effects.others_write();
        let Self {
            commits,
            connection,
            logs,
            lanes,
            history,
            ..
        } = self;
        commits.commit(batch, connection, logs, lanes, history).await;
    }

    async fn run_effects(&mut self) {
        let Self {
            effects,
            connection,
            logs,
            lanes,
            ..
        } = self;
        if connection.is_up() && !effects.is_empty() {
            effects.run(connection, logs, lanes).await;
            slow_effects::start(effects, connection, lanes);
        }
        slow_effects::finish(effects, connection, logs, lanes).await;
    }

    async fn stop_slow_effects(&mut self) {
        let Self {
            effects,
            connection,
            logs,
            lanes,
            ..
        } = self;
        slow_effects::stop(effects, connection, logs, lanes).await;
    }

    async fn run_jobs(&mut self) {
        let taken = self.commits.settlements_taken();
        for _ in 0..JOBS_PER_CYCLE {
            let Self {
                jobs,
                connection,
                logs,
                lanes,
                history,
                ..
            } = self;
            if !jobs.run_next(taken, connection, logs, lanes, history).await {
                break;
            }
        }
    }

    async fn write_rests(&mut self) {
        let Self {
            rests,
            connection,
            logs,
            lanes,
            ..
        } = self;
        rests.write(connection, logs, lanes).await;
    }

    async fn write_what_is_due(&mut self) {
        let now = self.clock.instant();
        if self.rests.is_due(now) {
            self.write_rests().await;
        }
        if self.history.is_due(now) {
            self.history.write(&mut self.connection, &self.lanes).await;
        }
        if self.timekeeping.is_due(now) {
            self.timekeeping.run(&mut self.connection).await;
        }
    }
}

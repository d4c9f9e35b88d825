//! Effects: run between two batches, answered when they are durable.

mod in_doubt;

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use sea_orm::DbErr;

pub(super) use self::in_doubt::EffectTraces;
use super::{bounds::bounded, connection::WriterConnection, lanes::Lanes, workspace_logs::WorkspaceLogs};
use crate::{
    effects::{EffectCommand, EffectEnd, EffectQueue, EffectWork, SlowSession, StagedEffect},
    storage::Outcome,
};
use pointsman_clock::Clock;
use pointsman_domain::{id::WorkspaceId, seq::Seq};

pub(super) struct Effects {
    queue: EffectQueue,
    /// Effects whose outcome is unknown.
    in_doubt: Vec<StagedEffect>,
    clock: Clock,
}

impl Effects {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            queue: EffectQueue::default(),
            in_doubt: Vec::new(),
            clock,
        }
    }

    pub(super) fn push(&mut self, command: EffectCommand) {
        self.queue.push(command);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How long until the first of those that wait may be run; none where none waits for a time.
    pub(super) fn wait(&self, now: Instant, session: SlowSession) -> Option<Duration> {
        let at = self.queue.next_at(now, session)?;
        Some(at.saturating_duration_since(now))
    }

    /// A batch is written: slow effects leave a share of the time to others.
    pub(super) fn others_write(&mut self) {
        self.queue.others_wrote(self.clock.instant());
    }

    /// Runs those that wait and may be run, in one transaction.
    pub(super) async fn run(
        &mut self,
        connection: &mut WriterConnection,
        logs: &mut WorkspaceLogs,
        lanes: &mut Lanes,
    ) {
        let mut effects = self.queue.next(self.clock.instant(), connection.slow_session());
        for index in (0..effects.len()).rev() {
            if lanes.is_fenced(&effects[index]) {
                effects.remove(index).answer(EffectEnd::Fenced);
            }
        }
        let Some(current) = connection.get().filter(|_| !effects.is_empty()) else {
            return self.not_run(effects);
        };
        let unread = logs.without_head(workspaces_of(&effects));
        if let Err(error) = logs.read_heads(&*current, unread).await {
            log::error!(error:%; "reading the heads of the log failed");
            self.not_run(effects);
            return connection.lose("reading the heads of the log failed");
        }
        for effect in &mut effects {
            effect.marks_due = logs.has_to_mark(effect);
        }
        let mut heads = logs.heads_of(workspaces_of(&effects));
        match bounded(current.run_effects(&mut effects, &mut heads)).await {
            Outcome::Committed(()) => {
                connection.answered();
                self.committed(effects, heads, logs, lanes);
            }
            Outcome::RolledBack(error) => self.rolled_back(effects, &error),
            Outcome::NotBegun => {
                self.not_run(effects);
                connection.lose("a transaction of effects could not begin");
            }
            Outcome::Unknown => {
                self.in_doubt = effects;
                connection.lose("a transaction of effects failed");
            }
        }
    }

    /// The transaction is committed: answers the effects that have ended, and tells the router of their events. Effects
    /// that were not run wait for the next transaction.
    fn committed(
        &mut self,
        effects: Vec<StagedEffect>,
        heads: HashMap<WorkspaceId, Seq>,
        logs: &mut WorkspaceLogs,
        lanes: &mut Lanes,
    ) {
        logs.moved_to(heads);
        let now = self.clock.instant();
        let mut events: BTreeMap<WorkspaceId, Vec<_>> = BTreeMap::new();
        let mut left = Vec::new();
        for mut effect in effects {
            let Some(end) = effect.end.take() else {
                left.push(effect.command);
                continue;
            };
            self.queue.took(&effect, now);
            if effect.is_suspect {
                self.queue.suspect(&effect, now);
            }
            if let (EffectEnd::Committed { .. }, Some(settles)) = (&end, &effect.command.settles) {
                lanes.mark(settles.installation_id);
            }
            let workspace = effect.command.workspace_id;
            let published = std::mem::take(&mut effect.events);
            if !published.is_empty() {
                logs.due.worked([workspace].into_iter());
                events.entry(workspace).or_default().extend(published);
            }
            effect.answer(end);
        }
        self.queue.put_back(left.into_iter());
        for (workspace, events) in events {
            let head = events.last().map_or(Seq::ZERO, |event| event.seq);
            logs.committed(workspace, head, events);
        }
    }

    /// An effect that had a transaction to itself has ended.
    pub(super) fn ended_alone(
        &mut self,
        mut effect: StagedEffect,
        end: EffectEnd,
        logs: &mut WorkspaceLogs,
        lanes: &mut Lanes,
    ) {
        let head = effect.events.last().map(|last| (last.workspace_id, last.seq));
        effect.end = Some(end);
        self.committed(vec![effect], head.into_iter().collect(), logs, lanes);
    }

    /// One of the effects has ended the transaction of the others, which are run again. Where the database refused the
    /// commit, it is not known which effect is at fault: each is run again in a transaction of its own, and the one
    /// whose commit is refused then is refused.
    fn rolled_back(&mut self, effects: Vec<StagedEffect>, error: &DbErr) {
        log::warn!(error:%; "a transaction of effects was rolled back");
        let now = self.clock.instant();
        let committed = effects.iter().filter(|effect| effect.is_committed()).count();
        let mut left = Vec::new();
        for mut effect in effects {
            match effect.end.take() {
                None => left.push(effect.command),
                Some(end) => {
                    self.queue.took(&effect, now);
                    if effect.is_suspect {
                        self.queue.suspect(&effect, now);
                    }
                    let end = match end {
                        EffectEnd::Committed { .. } if committed == 1 => EffectEnd::Refused,
                        EffectEnd::Committed { .. } => {
                            self.queue.suspect(&effect, now);
                            EffectEnd::Again
                        }
                        end => end,
                    };
                    effect.answer(end);
                }
            }
        }
        self.queue.put_back(left.into_iter());
    }

    /// None of the effects was begun: they wait for the next transaction.
    fn not_run(&mut self, effects: Vec<StagedEffect>) {
        self.queue
            .put_back(effects.into_iter().map(|effect| effect.command));
    }

    /// The next slow effect, with its work taken out of it. Answers those of replaced lanes.
    pub(super) fn next_slow(&mut self, lanes: &Lanes) -> Option<(StagedEffect, EffectWork)> {
        while let Some(mut effect) = self.queue.next_slow() {
            let Some(work) = effect.command.work.take() else {
                continue;
            };
            if !lanes.is_fenced(&effect) {
                return Some((effect, work));
            }
            effect.answer(EffectEnd::Fenced);
        }
        None
    }

    /// Refuses the slow effects that wait: a stop does not wait for them, and the next start attempts them again.
    pub(super) fn refuse_slow(&mut self) {
        for command in self.queue.take_slow() {
            // The caller may have gone.
            let _ = command.reply.send(EffectEnd::Unavailable);
        }
    }

    /// Refuses all effects that wait: there is no connection.
    pub(super) fn refuse_waiting(&mut self) {
        for command in self.queue.take_all() {
            // The caller may have gone.
            let _ = command.reply.send(EffectEnd::Unavailable);
        }
    }

    /// The outcome of the effect is unknown.
    pub(super) fn put_in_doubt(&mut self, effect: StagedEffect) {
        self.in_doubt.push(effect);
    }

    /// What identifies the effects in doubt in the database.
    pub(super) fn traces_in_doubt(&self) -> EffectTraces {
        EffectTraces::of(&self.in_doubt)
    }

    /// Answers the effects in doubt; `done` says which are durable. Of the others nothing is left. Those that were not
    /// run in the transaction are run now.
    pub(super) fn resolve(&mut self, done: &[bool], lanes: &mut Lanes) {
        let now = self.clock.instant();
        let mut left = Vec::new();
        let in_doubt = std::mem::take(&mut self.in_doubt);
        let is_alone = in_doubt.len() == 1;
        let has_culprit = in_doubt.iter().any(|effect| effect.is_suspect);
        let was_first = in_doubt.iter().filter(|effect| effect.is_begun).count() == 1;
        for (mut effect, done) in in_doubt.into_iter().zip(done) {
            let event_ids = effect.command.events.iter().map(|event| event.id).collect();
            if let (true, Some(settles)) = (*done, &effect.command.settles) {
                lanes.mark(settles.installation_id);
            }
            // It has failed before its work began, behind no other.
            let has_failed_first = was_first && effect.is_begun && effect.end.is_none();
            // Where it may have been the cause, the next transaction is its own.
            if effect.is_suspect || has_failed_first || effect.is_committed() && !is_alone && !has_culprit {
                self.queue.suspect(&effect, now);
            }
            let end = match effect.end.take() {
                _ if *done => EffectEnd::Committed { event_ids },
                // Nothing is left of it: the handler is called again.
                Some(EffectEnd::Committed { .. }) if !is_alone => EffectEnd::Again,
                Some(EffectEnd::Committed { .. }) => EffectEnd::Unavailable,
                // It ended before the commit, so that the outcome of the transaction does not matter.
                Some(end) => end,
                // Not begun; or begun behind others, of which one may have spoiled the session: it comes first now.
                None if !effect.is_begun || !effect.is_suspect && !was_first => {
                    left.push(effect.command);
                    continue;
                }
                None => EffectEnd::Unavailable,
            };
            self.queue.took(&effect, now);
            effect.answer(end);
        }
        self.queue.put_back(left.into_iter());
    }
}

fn workspaces_of(effects: &[StagedEffect]) -> impl Iterator<Item = WorkspaceId> {
    effects.iter().map(|effect| effect.command.workspace_id)
}

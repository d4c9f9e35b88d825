//! Effects: run between two batches, answered when they are durable.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::DbErr;

use super::{Writer, bounds::bounded};
use crate::{
    effects::{EffectEnd, StagedEffect},
    notice::Notice,
    storage::Outcome,
};
use pointsman_domain::{id::WorkspaceId, seq::Seq};

impl Writer {
    /// Runs those that wait and may be run, in one transaction.
    pub(super) async fn run_effects(&mut self) {
        let mut effects = self.gathered.effects.next(self.clock.instant(), self.beside());
        for index in (0..effects.len()).rev() {
            if self.is_fenced(&effects[index]) {
                effects.remove(index).answer(EffectEnd::Fenced);
            }
        }
        let Some(connection) = self.connection.clone().filter(|_| !effects.is_empty()) else {
            return self.not_run(effects);
        };
        let unknown = self.unknown_heads(&effects);
        if let Err(error) = self.read_heads(&*connection, unknown).await {
            log::error!(error:%; "reading the heads of the log failed");
            self.not_run(effects);
            return self.lose_connection("reading the heads of the log failed");
        }
        let mut heads = self.heads_of(&effects);
        match bounded(connection.run_effects(&mut effects, &mut heads)).await {
            Outcome::Committed(()) => self.effects_committed(effects, heads),
            Outcome::RolledBack(error) => self.effects_rolled_back(effects, &error),
            Outcome::NotBegun => {
                self.not_run(effects);
                self.lose_connection("a transaction of effects could not begin");
            }
            Outcome::Unknown => {
                self.unresolved_effects = effects;
                self.lose_connection("a transaction of effects failed");
            }
        }
    }

    pub(super) fn is_fenced(&self, effect: &StagedEffect) -> bool {
        effect.command.settles.as_ref().is_some_and(|settles| {
            self.generations.get(&settles.installation_id) != Some(&settles.generation)
        })
    }

    fn heads_of(&self, effects: &[StagedEffect]) -> HashMap<WorkspaceId, Seq> {
        effects
            .iter()
            .filter_map(|effect| {
                let workspace = effect.command.workspace_id;
                Some((workspace, *self.heads.get(&workspace)?))
            })
            .collect()
    }

    /// Workspaces whose heads are not in memory.
    fn unknown_heads(&self, effects: &[StagedEffect]) -> BTreeSet<WorkspaceId> {
        effects
            .iter()
            .map(|effect| effect.command.workspace_id)
            .filter(|workspace| !self.heads.contains_key(workspace))
            .collect()
    }

    pub(super) fn effects_committed(&mut self, effects: Vec<StagedEffect>, heads: HashMap<WorkspaceId, Seq>) {
        self.note_heads(heads);
        self.outage.over();
        let now = self.clock.instant();
        let mut events: BTreeMap<WorkspaceId, Vec<_>> = BTreeMap::new();
        let mut left = Vec::new();
        for mut effect in effects {
            let Some(end) = effect.end.take() else {
                left.push(effect.command);
                continue;
            };
            self.gathered.effects.took(&effect, now);
            if let (EffectEnd::Committed { .. }, Some(settles)) = (&end, &effect.command.settles) {
                self.marked.insert(settles.installation_id);
            }
            let workspace = effect.command.workspace_id;
            let published = std::mem::take(&mut effect.events);
            if !published.is_empty() {
                events.entry(workspace).or_default().extend(published);
            }
            effect.answer(end);
        }
        self.gathered.effects.put_back(left.into_iter());
        for (workspace_id, events) in events {
            let head = events.last().map_or(Seq::ZERO, |event| event.seq);
            (self.notices)(Notice::Committed {
                workspace_id,
                head,
                events,
            });
        }
    }

    /// One of them took the others along: these are run again. Where it is not known which, because the database
    /// refused the commit, each is run again by itself, and whose commit is refused then is the one.
    fn effects_rolled_back(&mut self, effects: Vec<StagedEffect>, error: &DbErr) {
        log::warn!(error:%; "a transaction of effects was rolled back");
        let now = self.clock.instant();
        let committed = effects.iter().filter(|effect| effect.is_committed()).count();
        let mut left = Vec::new();
        for mut effect in effects {
            match effect.end.take() {
                None => left.push(effect.command),
                Some(end) => {
                    self.gathered.effects.took(&effect, now);
                    let end = match end {
                        EffectEnd::Committed { .. } if committed == 1 => EffectEnd::Refused,
                        EffectEnd::Committed { .. } => {
                            self.gathered.effects.suspect(&effect, now);
                            EffectEnd::Again
                        }
                        end => end,
                    };
                    effect.answer(end);
                }
            }
        }
        self.gathered.effects.put_back(left.into_iter());
    }

    /// Nothing of the effects was begun: they wait for their next turn.
    fn not_run(&mut self, effects: Vec<StagedEffect>) {
        self.gathered
            .effects
            .put_back(effects.into_iter().map(|effect| effect.command));
    }

    /// What is known of the effects in doubt by their marks: those done are answered so. Of the others nothing is
    /// left. Work that ends no delivery has no mark: its events tell. Those that were not run are run now.
    pub(super) fn settle_doubtful_effects(&mut self, effects: Vec<StagedEffect>, done: &[bool]) {
        let now = self.clock.instant();
        let mut left = Vec::new();
        for (mut effect, done) in effects.into_iter().zip(done) {
            let event_ids = effect.command.events.iter().map(|event| event.id).collect();
            if let (true, Some(settles)) = (*done, &effect.command.settles) {
                self.marked.insert(settles.installation_id);
            }
            let end = match effect.end.take() {
                _ if *done => EffectEnd::Committed { event_ids },
                Some(EffectEnd::Committed { .. }) => EffectEnd::Unavailable,
                // Its own, whatever became of the transaction.
                Some(end) => end,
                None if effect.command.work.is_some() => {
                    left.push(effect.command);
                    continue;
                }
                None => EffectEnd::Unavailable,
            };
            self.gathered.effects.took(&effect, now);
            effect.answer(end);
        }
        self.gathered.effects.put_back(left.into_iter());
    }
}

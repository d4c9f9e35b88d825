//! The delivery actors of a workspace: started when there is something to do, replaced when they die.

use std::{collections::HashSet, sync::Arc};

use actix::prelude::*;

use super::{
    WorkspaceActor,
    installed::{Child, Circumstances, Installed, RunningChild},
};
use crate::{
    mail::{
        delivery::{RetriesWait, ViewChanged},
        origin::Origin,
        workspace::{ChildAttached, ChildEnd, ChildStopped},
    },
    restarts::{DELIVERY_ACTOR, Deaths, Fault, Next},
    ring::Ring,
};
use pointsman_domain::{
    event_pattern::PatternIndex, id::InstallationId, installation::InstallationView, lane::Suspicion,
    seq::Seq, timestamp::Timestamp,
};

impl WorkspaceActor {
    /// Keeps the newer of two views, tells the installation's actor, and starts one where it has to do.
    pub(super) fn take_view(&mut self, view: InstallationView, ctx: &mut Context<Self>) {
        let (id, revision) = (view.id(), view.installation.revision);
        let is_failed = self.shared.failed.holds(id, revision);
        let installed = match self.installed.entry(id) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                index(&mut self.patterns, &view);
                vacant.insert(Installed::new(view))
            }
            std::collections::btree_map::Entry::Occupied(occupied) => {
                let installed = occupied.into_mut();
                if revision < installed.view.installation.revision {
                    return;
                }
                unindex(&mut self.patterns, &installed.view);
                index(&mut self.patterns, &view);
                installed.take_view(view);
                installed
            }
        };
        match (&installed.child, is_failed) {
            (Child::Idle, true) => installed.child = Child::Failed,
            (Child::Failed, false) => {
                log::info!(workspace:% = self.id, installation:% = id; "changed after it had failed: it is tried again");
                installed.child = Child::Idle;
                installed.deaths = Deaths::default();
            }
            _ => {}
        }
        let view = Arc::clone(&installed.view);
        if !installed.tell(ViewChanged { view }) && self.loaded {
            self.start_where_needed(id, ctx);
        }
    }

    pub(super) fn circumstances(&self) -> Circumstances {
        Circumstances {
            now: self.shared.clock.now(),
            head: self.head,
            max_hold: self.shared.settings.max_hold,
        }
    }

    /// Starts the actor of the installation if it is idle and has something to do.
    fn start_where_needed(&mut self, id: InstallationId, ctx: &mut Context<Self>) {
        let at = self.circumstances();
        let Some(installed) = self.installed.get(&id) else {
            return;
        };
        if matches!(installed.child, Child::Idle) {
            if installed.has_work(&self.ring, at) {
                self.start_child(id, ctx);
            } else if let Some(at) = installed.next_start(at) {
                self.tick_by(at, ctx);
            }
        }
    }

    /// Starts the actors of all installations that are idle and have something to do.
    pub(super) fn start_children_with_work(&mut self, ctx: &mut Context<Self>) {
        let all: Vec<InstallationId> = self.installed.keys().copied().collect();
        for id in all {
            self.start_where_needed(id, ctx);
        }
    }

    /// Starts the actors of installations that are idle and to which one of `recent` is due: all events
    /// after `before`, which concern nobody but `concerned`.
    pub(super) fn start_children_due(
        &mut self,
        before: Seq,
        recent: &Ring,
        concerned: &HashSet<InstallationId>,
        ctx: &mut Context<Self>,
    ) {
        let at = self.circumstances();
        let (mut due, mut held) = (Vec::new(), None::<Timestamp>);
        for (id, installed) in &mut self.installed {
            if !matches!(installed.child, Child::Idle) {
                continue;
            }
            if !concerned.contains(id) || !installed.has_due(recent) {
                installed.nothing_due(before, at.head);
                continue;
            }
            match installed.held_until(at.max_hold) {
                Some(until) if until > at.now => held = Some(held.map_or(until, |first| first.min(until))),
                Some(_) | None => due.push(*id),
            }
        }
        // It has something to do when what waits for it may expire.
        if let Some(until) = held {
            self.tick_by(until, ctx);
        }
        for id in due {
            self.start_child(id, ctx);
        }
    }

    /// Starts the actor of the installation, unless it has one or is marked as failed.
    pub(super) fn start_child(&mut self, id: InstallationId, ctx: &mut Context<Self>) {
        if self.draining || self.retired {
            return;
        }
        let Some(installed) = self.installed.get_mut(&id) else {
            return;
        };
        if matches!(installed.child, Child::Running(_) | Child::Failed) {
            return;
        }
        self.incarnations += 1;
        let origin = Origin {
            incarnation: self.incarnations,
            parent: Arc::new(ctx.address()),
            liveness: self.liveness.subscribe(),
            suspicion: installed.suspicion.clone(),
        };
        let view = Arc::clone(&installed.view);
        installed.child = Child::Running(RunningChild {
            address: self.shared.start_delivery(view, origin),
            incarnation: self.incarnations,
            attached: false,
            told: 0,
            given_through: Seq::ZERO,
        });
        self.idleness.touch();
    }

    /// A replay waits in the retry table.
    pub(super) fn retries_added(&mut self, id: InstallationId, at: Timestamp, ctx: &mut Context<Self>) {
        let Some(installed) = self.installed.get_mut(&id) else {
            return;
        };
        installed.note_retry(at);
        if !installed.tell(RetriesWait { at }) && self.loaded {
            self.start_where_needed(id, ctx);
        }
    }

    /// The actor has died: a successor after a pause, or the mark of a failed installation.
    fn child_died(&mut self, id: InstallationId, fault: Fault, ctx: &mut Context<Self>) {
        let (workspace, now) = (self.id, self.shared.clock.now());
        let Some(installed) = self.installed.get_mut(&id) else {
            return;
        };
        match installed.deaths.died(fault, &DELIVERY_ACTOR, now) {
            Next::Replace { after } => {
                let deaths = installed.deaths.in_a_row();
                log::error!(workspace:%, installation:% = id, deaths; "a delivery actor has died and is replaced");
                installed.child = Child::Restarting;
                ctx.run_later(after, move |actor, ctx| actor.start_child(id, ctx));
            }
            Next::GiveUp => {
                log::error!(
                    workspace:%, installation:% = id;
                    "a delivery actor dies again and again: its installation has failed; its events wait until an \
                     admin resets or changes it, or the server is started again"
                );
                let revision = installed.view.installation.revision;
                self.shared.failed.mark(id, revision);
                installed.child = Child::Failed;
            }
        }
    }
}

impl Handler<ChildAttached> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, attached: ChildAttached, _: &mut Self::Context) {
        if let Some(child) = self.running(attached.installation_id, attached.incarnation) {
            child.attached = true;
            self.answer_starts();
        }
    }
}

impl Handler<ChildStopped> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, stopped: ChildStopped, ctx: &mut Self::Context) {
        let id = stopped.installation_id;
        let Some(child) = self.running(id, stopped.incarnation) else {
            return;
        };
        let told = child.told;
        let waiting = self.waiting.remove(&id);
        let Some(installed) = self.installed.get_mut(&id) else {
            return;
        };
        installed.child = Child::Idle;
        if let Some(suspicion) = stopped.suspicion {
            installed.suspicion = suspicion;
        }
        match stopped.end {
            ChildEnd::Failed => self.child_died(id, Fault::Own, ctx),
            ChildEnd::Interrupted => self.child_died(id, Fault::Foreign, ctx),
            ChildEnd::Idle(mut rest) => {
                if let Some(waiting) = waiting {
                    rest.done = waiting.looked_through_from(rest.done);
                }
                // Nothing was in flight: what it was suspected of is behind it.
                installed.suspicion = Suspicion::default();
                installed.rest(rest);
                if rest.heard == told {
                    self.start_where_needed(id, ctx);
                } else {
                    self.start_child(id, ctx);
                }
            }
            ChildEnd::Closed => {
                if let Some(closed) = self.installed.remove(&id) {
                    unindex(&mut self.patterns, &closed.view);
                }
                self.shared.failed.forget(id);
            }
            ChildEnd::Drained => {}
        }
        self.idleness.touch();
        self.answer_starts();
    }
}

impl WorkspaceActor {
    /// The actor of the installation, if it still is that one.
    fn running(&mut self, id: InstallationId, incarnation: u64) -> Option<&mut RunningChild> {
        match &mut self.installed.get_mut(&id)?.child {
            Child::Running(child) if child.incarnation == incarnation => Some(child),
            _ => None,
        }
    }
}

fn index(patterns: &mut PatternIndex<InstallationId>, view: &InstallationView) {
    for span in &view.spans {
        patterns.insert(&span.pattern, view.id());
    }
}

fn unindex(patterns: &mut PatternIndex<InstallationId>, view: &InstallationView) {
    for span in &view.spans {
        patterns.remove(&span.pattern, view.id());
    }
}

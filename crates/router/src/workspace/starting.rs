//! How delivery actors are started when there is something to do, replaced when they die, and found.

use std::{collections::HashSet, sync::Arc};

use actix::prelude::*;

use super::{WorkspaceActor, installed::Need};
use crate::{
    mail::{
        delivery::{RetriesWait, ViewChanged},
        workspace::{AwaitStart, ChildAttached, ChildEnd, ChildStopped, FindChild, Found, Purpose, Rest},
    },
    restarts::{Fault, Next},
    ring::Ring,
};
use pointsman_domain::{id::InstallationId, installation::InstallationView, seq::Seq, timestamp::Timestamp};

impl WorkspaceActor {
    /// Keeps the newer of two views, tells the installation's actor, and starts one where there is something to do.
    pub(super) fn take_view(&mut self, view: InstallationView, ctx: &mut Context<Self>) {
        let (id, revision) = (view.id(), view.installation.revision);
        let is_failed = self.shared.failed.holds(id, revision);
        let Some(taken) = self.children.take_view(view) else {
            return;
        };
        self.subscriptions.replace(taken.before.as_deref(), &taken.now);
        if is_failed {
            self.children.fail(id);
        } else if self.children.forgive(id) {
            log::info!(
                workspace:% = self.id, installation:% = id;
                "a failed installation was changed: its deliveries start again"
            );
        }
        let is_told = self.children.tell(id, ViewChanged { view: taken.now });
        if !is_told && self.loading.is_loaded() {
            self.start_where_needed(id, ctx);
        }
    }

    /// Starts the actor of the installation if it has none and has something to do.
    fn start_where_needed(&mut self, id: InstallationId, ctx: &mut Context<Self>) {
        match self.children.need(id, self.log.ring(), self.circumstances()) {
            Need::Now => self.start_child(id, ctx),
            Need::At(at) => self.tick_by(at, ctx),
            Need::None => {}
        }
    }

    /// Starts the actors of all installations that have none and have something to do.
    pub(super) fn start_children_with_work(&mut self, ctx: &mut Context<Self>) {
        for id in self.children.ids() {
            self.start_where_needed(id, ctx);
        }
    }

    /// Starts the actors of installations that have none and to which one of `recent` is due: all events
    /// after `before`, which concern nobody but `concerned`.
    pub(super) fn start_children_due(
        &mut self,
        before: Seq,
        recent: &Ring,
        concerned: &HashSet<InstallationId>,
        ctx: &mut Context<Self>,
    ) {
        let at = self.circumstances();
        let starts = self.children.due_starts(before, recent, concerned, at);
        if let Some(until) = starts.held_until {
            self.tick_by(until, ctx);
        }
        for id in starts.now {
            self.start_child(id, ctx);
        }
    }

    /// Starts the actor of the installation, unless it has one or is marked as failed.
    pub(super) fn start_child(&mut self, id: InstallationId, ctx: &mut Context<Self>) {
        if self.life.is_ending() {
            return;
        }
        let shared = &self.shared;
        let start = |view, origin| shared.start_delivery(view, origin);
        if self.children.start(id, || Arc::new(ctx.address()), start) {
            self.life.touch();
        }
    }

    /// A replay waits in the retry table.
    pub(super) fn retries_added(&mut self, id: InstallationId, at: Timestamp, ctx: &mut Context<Self>) {
        self.children.note_retry(id, at);
        if !self.children.tell(id, RetriesWait { at }) && self.loading.is_loaded() {
            self.start_where_needed(id, ctx);
        }
    }

    /// The actor has died or was interrupted: a successor after a pause, or the mark of a failed installation.
    fn child_died(&mut self, id: InstallationId, fault: Fault, ctx: &mut Context<Self>) {
        let (workspace, now) = (self.id, self.shared.clock.now());
        let Some(death) = self.children.died(id, fault, now) else {
            return;
        };
        match death.next {
            Next::Replace { after } => {
                let deaths = death.in_a_row;
                match fault {
                    Fault::Own => {
                        log::error!(
                            workspace:%, installation:% = id, deaths;
                            "a delivery actor has died and is replaced"
                        );
                    }
                    // What it could not write is written by its successor.
                    Fault::Foreign => {
                        log::warn!(
                            workspace:%, installation:% = id;
                            "a delivery actor was interrupted by its storage or by another actor, and is replaced"
                        );
                    }
                }
                ctx.run_later(after, move |actor, ctx| actor.start_child(id, ctx));
            }
            Next::GiveUp => {
                log::error!(
                    workspace:%, installation:% = id;
                    "a delivery actor dies again and again: its installation has failed; its events wait until an \
                     admin resets or changes it, or the server is started again"
                );
                self.shared.failed.mark(id, death.revision);
            }
        }
    }

    /// The actor had nothing to do. Where it was sent a message that it has not handled, it has a successor at once.
    fn child_rests(
        &mut self,
        id: InstallationId,
        rest: Rest,
        has_handled_all: bool,
        ctx: &mut Context<Self>,
    ) {
        self.children.note_rest(id, rest);
        if has_handled_all {
            self.start_where_needed(id, ctx);
        } else {
            self.start_child(id, ctx);
        }
    }

    fn find_child(&mut self, find: &FindChild, ctx: &mut Context<Self>) -> Found {
        let id = find.installation_id;
        if find.purpose == Purpose::Reset {
            self.shared.failed.forget(id);
            self.children.forgive(id);
        }
        if find.purpose != Purpose::Look {
            self.start_child(id, ctx);
        }
        self.children.find(id)
    }

    /// Answers those who asked before the installations were read.
    pub(super) fn answer_finds(&mut self, ctx: &mut Context<Self>) {
        for (find, reply) in self.loading.take_finds() {
            // Who asked may have gone.
            let _ = reply.send(self.find_child(&find, ctx));
        }
    }

    /// Answers those who wait until the lanes are attached, once they are.
    pub(super) fn answer_starts(&mut self) {
        self.loading.answer_starts(|| self.children.are_all_attached());
    }
}

impl Handler<ChildAttached> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, attached: ChildAttached, _: &mut Self::Context) {
        if self
            .children
            .attached(attached.installation_id, attached.incarnation)
        {
            self.answer_starts();
        }
    }
}

impl Handler<ChildStopped> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, stopped: ChildStopped, ctx: &mut Self::Context) {
        let id = stopped.installation_id;
        let Some(child) = self.children.stopped(id, stopped.incarnation, stopped.suspicion) else {
            return;
        };
        let waiting = self.readers.forget(id);
        match stopped.end {
            ChildEnd::Failed => self.child_died(id, Fault::Own, ctx),
            ChildEnd::Interrupted => self.child_died(id, Fault::Foreign, ctx),
            ChildEnd::Idle(mut rest) => {
                if let Some(waiting) = waiting {
                    rest.done = waiting.looked_through_from(rest.done);
                }
                self.child_rests(id, rest, child.has_handled_all(rest.handled), ctx);
            }
            ChildEnd::Closed => {
                if let Some(view) = self.children.remove(id) {
                    self.subscriptions.remove(&view);
                }
                self.shared.failed.forget(id);
            }
            ChildEnd::Drained => {}
        }
        self.life.touch();
        self.answer_starts();
    }
}

impl Handler<FindChild> for WorkspaceActor {
    type Result = ResponseFuture<Found>;

    /// Detached: until the installations are read the answer waits, and messages go on.
    fn handle(&mut self, find: FindChild, ctx: &mut Self::Context) -> Self::Result {
        self.life.touch();
        if self.loading.is_loaded() {
            return Box::pin(std::future::ready(self.find_child(&find, ctx)));
        }
        let found = self.loading.keep_find(find);
        Box::pin(async move { found.await.unwrap_or(Found::Nothing) })
    }
}

impl Handler<AwaitStart> for WorkspaceActor {
    type Result = ResponseFuture<()>;

    /// Detached: messages go on.
    fn handle(&mut self, _: AwaitStart, _: &mut Self::Context) -> Self::Result {
        let started = self.loading.await_start();
        self.answer_starts();
        Box::pin(async move {
            // Dropped unanswered by an actor that has died: then its asker waits no longer either.
            let _ = started.await;
        })
    }
}

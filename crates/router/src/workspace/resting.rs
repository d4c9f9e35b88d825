//! What a WorkspaceActor does when time passes: it starts the actors whose time has come, and stops when
//! there has been nothing to do for a while.

use std::sync::Arc;

use actix::prelude::*;

use super::WorkspaceActor;
use crate::mail::workspace::Retire;
use pointsman_domain::timestamp::Timestamp;

impl WorkspaceActor {
    /// Has a tick come at `at`, if none comes before.
    pub(super) fn tick_by(&mut self, at: Timestamp, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        self.life.tick_by(at, now, ctx, |actor, ctx| actor.tick(ctx));
    }

    pub(super) fn tick(&mut self, ctx: &mut Context<Self>) {
        self.life.ticks();
        if self.life.is_ending() {
            return;
        }
        let look = self.life.look(self.shared.clock.now());
        if self.loading.is_loaded() {
            self.start_children_with_work(ctx);
        }
        self.drop_ring_where_unused();
        let mut next = look.next();
        if self.is_at_rest() {
            if look.is_over() && !self.catch_up(ctx) && self.leave(ctx) {
                return;
            }
            next = look.next_at_rest();
        }
        self.tick_by(self.next_start().map_or(next, |start| start.min(next)), ctx);
    }

    /// Lets go of the recent events where no lane will ask for them.
    fn drop_ring_where_unused(&mut self) {
        let head = self.log.head();
        if self.children.are_past_ring(|id| self.readers.has_seen(id, head)) {
            self.log.clear();
        }
    }

    /// When an actor has to be started, if nothing happens before.
    fn next_start(&self) -> Option<Timestamp> {
        self.children.next_start(self.circumstances())
    }

    /// Has the directory let go of this actor; false where somebody wants something of it.
    fn leave(&mut self, ctx: &mut Context<Self>) -> bool {
        let own = ctx.address();
        let may_go = self.shared.directory.retire(self.id, &own);
        if may_go {
            self.life.leave(Arc::new(own));
        }
        may_go
    }

    /// Whether nothing is missed when it stops: no delivery actor lives, and none is to be started soon.
    fn is_at_rest(&self) -> bool {
        let at = self.circumstances();
        let soon = self.life.horizon(at.now);
        self.loading.is_settled() && self.children.are_quiet_until(soon, at)
    }

    /// Has the cursors written that stand before the head because nothing there was due to them: otherwise
    /// the waker would find them and start this workspace again. Whether there are any.
    fn catch_up(&mut self, ctx: &mut Context<Self>) -> bool {
        let behind = self.children.lagging(self.circumstances());
        for id in &behind {
            self.start_child(*id, ctx);
        }
        !behind.is_empty()
    }
}

impl Handler<Retire> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        let has_work = !self.is_at_rest();
        self.life.retire();
        ctx.stop();
        if has_work {
            // A message came before this one. A successor reads from the database what there is to do.
            self.shared.activate(self.id);
        } else {
            self.shared.workspace_left(self.id);
        }
    }
}

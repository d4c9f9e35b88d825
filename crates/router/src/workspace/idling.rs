//! What a WorkspaceActor does when time passes: it starts the actors whose time has come, and stops when
//! there has been nothing to do for a while.

use actix::prelude::*;

use super::{WorkspaceActor, installed::Child};
use crate::{alarm::LONGEST_SLEEP, mail::workspace::Retire, ring::Ring};
use pointsman_domain::{id::InstallationId, timestamp::Timestamp};

impl WorkspaceActor {
    /// Has a tick come at `at`, if none comes before.
    pub(super) fn tick_by(&mut self, at: Timestamp, ctx: &mut Context<Self>) {
        self.alarm
            .ring_by(at, self.shared.clock.now(), ctx, |actor, ctx| actor.tick(ctx));
    }

    pub(super) fn tick(&mut self, ctx: &mut Context<Self>) {
        self.alarm.has_rung();
        if self.draining || self.retired {
            return;
        }
        let now = self.shared.clock.now();
        let patience = self.shared.settings.passivate_after;
        let over_at = self.idleness.look(now, patience);
        if self.loaded {
            self.start_children_with_work(ctx);
        }
        if self.have_all_seen_all() {
            self.ring = Ring::default();
        }
        let mut next = now + patience.min(LONGEST_SLEEP);
        if self.is_at_rest() {
            if over_at > now {
                next = next.min(over_at);
            } else if !self.catch_up(ctx) && self.retire(ctx) {
                return;
            }
        }
        self.tick_by(self.next_start().map_or(next, |start| start.min(next)), ctx);
    }

    /// Whether no lane will ask for what is in the ring.
    fn have_all_seen_all(&self) -> bool {
        self.installed
            .iter()
            .all(|(id, installed)| match installed.child {
                Child::Running(_) => self
                    .waiting
                    .get(id)
                    .is_some_and(|waiting| waiting.has_seen(self.head)),
                Child::Restarting => false,
                Child::Idle | Child::Failed => true,
            })
    }

    /// When an actor has to be started, if nothing happens before.
    fn next_start(&self) -> Option<Timestamp> {
        let at = self.circumstances();
        let starts = self.installed.values();
        starts.filter_map(|installed| installed.next_start(at)).min()
    }

    /// Has the directory let go of this actor; false where somebody wants something of it.
    fn retire(&mut self, ctx: &mut Context<Self>) -> bool {
        let own = ctx.address();
        let may_go = self.shared.directory.retire(self.id, &own);
        if may_go {
            // An actor without any address ends at once, and with it what is in its mailbox.
            self.leaving = Some(own);
            if let Some(at) = self.next_start() {
                self.shared.look_by(at);
            }
        }
        may_go
    }

    /// Whether it could stop without anybody missing it: no actor lives, and none is to be started soon.
    fn is_at_rest(&self) -> bool {
        let at = self.circumstances();
        let soon = at.now + self.shared.settings.passivate_after;
        self.loaded
            && !self.loading
            && self.finds.is_empty()
            && self.starts.is_empty()
            && self.installed.values().all(|installed| {
                let is_quiet = matches!(installed.child, Child::Idle | Child::Failed);
                is_quiet && installed.next_start(at).is_none_or(|start| start > soon)
            })
    }

    /// Has the cursors written that stand before the head because nothing there was due to them: otherwise
    /// the waker would find them and start this workspace again. Whether there are any.
    fn catch_up(&mut self, ctx: &mut Context<Self>) -> bool {
        let at = self.circumstances();
        let behind: Vec<InstallationId> = self
            .installed
            .iter()
            .filter(|(_, installed)| matches!(installed.child, Child::Idle) && installed.lags(at))
            .map(|(id, _)| *id)
            .collect();
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
        self.retired = true;
        self.leaving = None;
        ctx.stop();
        if has_work {
            // A message came before this one. A successor reads from the database what there is to do.
            self.shared.activate(self.id);
        }
    }
}

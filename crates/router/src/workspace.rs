//! The actor of one workspace: owns its cached subscriptions and its recent events, hands publishes to the journal,
//! and serves and supervises the delivery actors of its installations.
//!
//! It never awaits in a handler: whatever takes time is spawned and comes back as a message, so that a
//! publish never waits behind a read.
//!
//! The actor handles messages and coordinates its parts. Each part has fields of its own and decides alone:
//!
//! - `Loading`: whether the installations are read, and who waits until they are;
//! - `LogTail`: the head of the log, its recent events, and the size of the next page;
//! - `Subscriptions`: whom an event concerns;
//! - `Children`: the installations and their delivery actors, each an `Installed` with a `Child` and a `Progress`;
//! - `Readers`: the lanes that wait for events;
//! - `Life`: whether the actor is idle, and how it ends.

mod child;
mod children;
mod installed;
mod life;
mod loading;
mod log_tail;
mod progress;
mod readers;
mod reading;
mod resting;
#[cfg(test)]
mod samples;
mod starting;
mod subscriptions;

use std::{fmt, sync::Arc, time::Duration};

use actix::prelude::*;
use futures_util::{FutureExt, future::join_all};

use self::{
    children::Children,
    installed::Circumstances,
    life::Life,
    loading::{AfterRead, Loading},
    log_tail::LogTail,
    readers::{Concerned, Readers},
    subscriptions::Subscriptions,
};
use crate::{
    directory::Entry,
    idleness::Idleness,
    mail::workspace::{DrainWorkspace, EndDeliveries, Erase, NoticesWait, Publish},
    ring::Ring,
    shared::Shared,
};
use pointsman_domain::{id::WorkspaceId, installation::InstallationView, seq::Seq};
use pointsman_journal::ChangeError;

/// Between attempts to read the database while there is none.
const STORAGE_PAUSE: Duration = Duration::from_millis(500);

pub struct WorkspaceActor {
    id: WorkspaceId,
    shared: Arc<Shared>,
    /// Where the notices for this actor wait.
    entry: Arc<Entry>,
    loading: Loading,
    log: LogTail,
    subscriptions: Subscriptions,
    children: Children,
    readers: Readers,
    life: Life,
}

impl fmt::Debug for WorkspaceActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkspaceActor").finish_non_exhaustive()
    }
}

impl WorkspaceActor {
    pub(super) fn new(id: WorkspaceId, shared: Arc<Shared>, entry: Arc<Entry>) -> Self {
        let idleness = Idleness::new(shared.clock.now(), shared.settings.passivate_after);
        Self {
            id,
            shared,
            entry,
            loading: Loading::default(),
            log: LogTail::default(),
            subscriptions: Subscriptions::default(),
            children: Children::default(),
            readers: Readers::default(),
            life: Life::new(idleness),
        }
    }

    /// Reads head and installations. The actor is registered by now, so that whatever is committed after
    /// this read reaches it as a notice.
    fn load(&mut self, ctx: &mut Context<Self>) {
        if !self.loading.begin() {
            return;
        }
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let load = async move {
            // The semaphore is never closed.
            let _permit = shared.loads.acquire().await;
            shared.journal.load(id).await
        };
        // Interleaves with messages: notices that arrive meanwhile are merged by revision and position.
        ctx.spawn(
            load.into_actor(self)
                .map(|loaded, actor, ctx| actor.take_loaded(loaded, ctx)),
        );
    }

    fn take_loaded(
        &mut self,
        loaded: Result<(Seq, Vec<InstallationView>), ChangeError>,
        ctx: &mut Context<Self>,
    ) {
        match (self.loading.ended(loaded.is_ok()), loaded) {
            (AfterRead::Take, Ok((head, views))) => self.take_installations(head, views, ctx),
            (AfterRead::ReadAgain, _) => self.load(ctx),
            (_, Err(error)) => {
                log::warn!(workspace:% = self.id, error:%; "the installations of a workspace cannot be read yet");
                ctx.run_later(STORAGE_PAUSE, |actor, ctx| actor.load(ctx));
            }
            (AfterRead::ReadLater, Ok(_)) => {}
        }
    }

    fn take_installations(&mut self, head: Seq, views: Vec<InstallationView>, ctx: &mut Context<Self>) {
        self.log.advance(head);
        for view in views {
            let (id, has_retries) = (view.id(), view.has_retries);
            self.take_view(view, ctx);
            if has_retries {
                self.children.look_at_retries(id, self.shared.clock.now());
            }
        }
        self.decide_latches();
        // Includes installations whose newer view came as a notice while this one was read.
        self.start_children_with_work(ctx);
        self.serve_waiting(&Concerned::All, ctx);
        self.answer_finds(ctx);
        self.answer_starts();
    }

    fn take_events(&mut self, head: Seq, recent: Ring, ctx: &mut Context<Self>) {
        let before = self.log.advance(head);
        self.loading.keep_undecided(recent.iter());
        if !self.loading.is_loaded() {
            return self.log.push(recent);
        }
        self.decide_latches();
        if recent.covers(before, self.log.head()) {
            let installations = self.subscriptions.concerned_by(&recent);
            self.start_children_due(before, &recent, &installations, ctx);
            self.log.push(recent);
            let concerned = Concerned::Since {
                before,
                installations,
            };
            self.serve_waiting(&concerned, ctx);
        } else {
            self.log.push(recent);
            self.start_children_with_work(ctx);
            self.serve_waiting(&Concerned::All, ctx);
        }
    }

    fn circumstances(&self) -> Circumstances {
        Circumstances {
            now: self.shared.clock.now(),
            head: self.log.head(),
            max_hold: self.shared.settings.max_hold,
        }
    }
}

impl Actor for WorkspaceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The mailbox is bounded by admission, one read per lane and one message about notices; `try_send` is not used.
        let pause = self.entry.pause(self.shared.clock.now());
        if pause.is_zero() {
            self.load(ctx);
        } else {
            // Its predecessor has died: publishers go on, deliveries wait.
            ctx.run_later(pause, |actor, ctx| actor.load(ctx));
        }
        self.tick(ctx);
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        // Runs while a panic unwinds, too: nothing here can panic.
        if !self.life.is_ending() {
            self.entry.died(&ctx.address(), self.shared.clock.now());
            self.shared.workspace_stopped(self.id);
        }
    }
}

impl Handler<Publish> for WorkspaceActor {
    type Result = ();

    /// Every event of the workspace passes here on its way to the log, so that the actor could refuse it by what it
    /// knows of the workspace.
    fn handle(&mut self, publish: Publish, _: &mut Self::Context) {
        self.life.touch();
        match publish {
            Publish::Events(append) => self.shared.journal.append(append),
            Publish::Transaction(effect) => self.shared.journal.run_effect(*effect.take()),
        }
    }
}

impl Handler<NoticesWait> for WorkspaceActor {
    type Result = ();

    /// Views first: they say from which position to which they hold, so that a newer view fits older events.
    fn handle(&mut self, _: NoticesWait, ctx: &mut Self::Context) {
        self.life.touch();
        let notices = self.entry.take_notices();
        if notices.reload {
            // A change may have been committed without a notice: until it is known who is due, nothing is delivered.
            self.loading.distrust();
            self.load(ctx);
        }
        for view in notices.views.into_values() {
            self.take_view(view, ctx);
        }
        if !notices.recent.is_empty() {
            self.take_events(notices.head, notices.recent, ctx);
        }
        for (installation, at) in notices.retries {
            self.retries_added(installation, at, ctx);
        }
    }
}

impl Handler<DrainWorkspace> for WorkspaceActor {
    type Result = ResponseFuture<()>;

    /// Detached on purpose: the children's last messages must reach this actor while it waits.
    fn handle(&mut self, _: DrainWorkspace, _: &mut Self::Context) -> Self::Result {
        self.life.drain();
        let drained = self.children.drain();
        Box::pin(async move {
            // A child that has died drops its reply: it has nothing to drain.
            join_all(drained).await;
        })
    }
}

impl Handler<EndDeliveries> for WorkspaceActor {
    type Result = ResponseFuture<()>;

    /// The router is told of each deletion, and its caller asks for the end once more.
    fn handle(&mut self, _: EndDeliveries, _: &mut Self::Context) -> Self::Result {
        if !self.children.are_ended() {
            self.readers = Readers::default();
            self.subscriptions = Subscriptions::default();
        }
        self.children.end().boxed_local()
    }
}

impl Handler<Erase> for WorkspaceActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Erase(left): Erase, _: &mut Self::Context) -> Self::Result {
        self.log.erase(&left);
        let erased = self.children.erase(&left);
        Box::pin(async move {
            // Each ends when its actor has handled the message, or has died.
            join_all(erased).await;
        })
    }
}

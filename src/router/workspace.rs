//! The actor of one workspace: owns its cached subscriptions and its ring of recent events, hands publishes
//! to the journal, and serves and supervises the delivery actors of its installations.
//!
//! It never awaits in a handler: whatever takes time is spawned and comes back as a message, so that a
//! publish never waits behind a read.

mod children;
mod messages;
mod reading;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix::prelude::*;
use tokio::sync::{oneshot, watch};

pub(super) use self::messages::{
    ChildEnd, ChildStopped, Committed, DrainWorkspace, FindChild, InstallationChanged, Publish, ReadAfter,
    Reload, RetriesAdded,
};
use self::{children::Installed, reading::Waiting};
use super::{Shared, external_delivery::ExternalDeliveryActor, ring::Ring};
use crate::{
    domain::{
        id::{InstallationId, WorkspaceId},
        seq::Seq,
    },
    journal::{Append, ChangeError, InstallationView},
};

/// Between attempts to read the installations while there is no database.
const LOAD_PAUSE: Duration = Duration::from_millis(500);
/// How often lanes hear that they have passed events that are not due to them.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

pub(super) struct WorkspaceActor {
    id: WorkspaceId,
    shared: Arc<Shared>,
    /// The highest place that is known to be durable.
    head: Seq,
    ring: Ring,
    installed: BTreeMap<InstallationId, Installed>,
    /// Lanes that have read all there is.
    waiting: BTreeMap<InstallationId, Waiting>,
    /// Until the installations are read, notices are kept but nobody is served.
    loaded: bool,
    /// Events of the next page from the database, learned from the weight of the last.
    page_events: usize,
    draining: bool,
    /// Who asked for an actor before the installations were read; bounded by the requests of admins.
    finds: Vec<(FindChild, oneshot::Sender<Option<Addr<ExternalDeliveryActor>>>)>,
    /// Children stop when this is dropped.
    liveness: watch::Sender<()>,
}

impl WorkspaceActor {
    pub(super) fn new(id: WorkspaceId, shared: Arc<Shared>) -> Self {
        Self {
            id,
            shared,
            head: Seq::ZERO,
            ring: Ring::default(),
            installed: BTreeMap::new(),
            waiting: BTreeMap::new(),
            loaded: false,
            page_events: reading::FIRST_PAGE_EVENTS,
            draining: false,
            finds: Vec::new(),
            liveness: watch::channel(()).0,
        }
    }

    /// Reads head and installations. The actor is registered by now, so that whatever is committed after
    /// this read reaches it as a notice.
    fn load(&self, ctx: &mut Context<Self>) {
        let journal = self.shared.journal.clone();
        let id = self.id;
        // Interleaves with messages: notices that arrive meanwhile are merged by revision and place.
        ctx.spawn(
            async move { journal.load(id).await }
                .into_actor(self)
                .map(|loaded, actor, ctx| actor.take_loaded(loaded, ctx)),
        );
    }

    fn take_loaded(
        &mut self,
        loaded: Result<(Seq, Vec<InstallationView>), ChangeError>,
        ctx: &mut Context<Self>,
    ) {
        match loaded {
            Ok((head, views)) => {
                self.head = self.head.max(head);
                self.loaded = true;
                for view in views {
                    self.take_view(view, ctx);
                }
                // Also those of which a newer view came as a notice while this one was read.
                self.start_children_with_work(ctx);
                self.serve_waiting(ctx);
                self.answer_finds(ctx);
            }
            Err(error) => {
                log::warn!(workspace:% = self.id, error:%; "the installations of a workspace cannot be read yet");
                ctx.run_later(LOAD_PAUSE, |actor, ctx| actor.load(ctx));
            }
        }
    }
}

impl Actor for WorkspaceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Bounded by admission and by one read and one notice per lane and batch; `try_send` is not used.
        self.load(ctx);
        ctx.run_interval(SWEEP_EVERY, |actor, _| actor.tell_passed());
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // Runs while a panic unwinds, too: nothing here can panic.
        if !self.draining {
            self.shared.workspace_stopped(self.id);
        }
    }
}

impl Handler<Publish> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, publish: Publish, _: &mut Self::Context) {
        // The publisher's reply travels with the append: this actor may die without losing it.
        self.shared.journal.append(Append {
            workspace_id: self.id,
            events: publish.events,
            idempotency: publish.idempotency,
            reply: publish.reply,
            permit: publish.permit,
        });
    }
}

impl Handler<Committed> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, committed: Committed, ctx: &mut Self::Context) {
        self.ring.push(&committed.events);
        self.head = self.head.max(committed.head);
        if self.loaded {
            self.start_children_due(&committed.events, ctx);
            self.serve_waiting(ctx);
        }
    }
}

impl Handler<InstallationChanged> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, changed: InstallationChanged, ctx: &mut Self::Context) {
        self.take_view(*changed.view, ctx);
    }
}

impl Handler<Reload> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, _: Reload, ctx: &mut Self::Context) {
        self.load(ctx);
    }
}

//! The actor of one workspace: owns its cached subscriptions and its ring of recent events, hands publishes
//! to the journal, and serves and supervises the delivery actors of its installations.
//!
//! It never awaits in a handler: whatever takes time is spawned and comes back as a message, so that a
//! publish never waits behind a read.

mod children;
mod finding;
mod idling;
mod installed;
mod latches;
mod reading;
mod waiting;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
};

use actix::prelude::*;
use futures_util::future::join_all;
use tokio::sync::{oneshot, watch};

use self::{
    installed::Installed,
    waiting::{Concerned, FIRST_PAGE_EVENTS, LOAD_PAUSE, Waiting},
};
use crate::{
    alarm::Alarm,
    directory::Entry,
    idleness::Idleness,
    mail::{
        delivery::Drain,
        workspace::{DrainWorkspace, FindChild, Found, NewsWaits, Publish},
    },
    ring::Ring,
    shared::Shared,
};
use pointsman_domain::{
    event::PlatformEvent,
    event_key::EventKey,
    event_pattern::PatternIndex,
    id::{InstallationId, WorkspaceId},
    installation::InstallationView,
    seq::Seq,
};
use pointsman_journal::ChangeError;

pub struct WorkspaceActor {
    id: WorkspaceId,
    shared: Arc<Shared>,
    /// Where the notices for this actor wait.
    entry: Arc<Entry>,
    /// The highest place that is known to be durable.
    head: Seq,
    ring: Ring,
    installed: BTreeMap<InstallationId, Installed>,
    /// The patterns of all spans of all views: who may be due for an event. [`is_due`] decides.
    ///
    /// [`is_due`]: pointsman_domain::span::is_due
    patterns: PatternIndex<InstallationId>,
    /// Lanes that have read all there is.
    waiting: BTreeMap<InstallationId, Waiting>,
    /// A sweep of `waiting` is on its way.
    sweeping: bool,
    /// Until the installations are read, notices are kept but nobody is served.
    loaded: bool,
    /// The installations are being read.
    loading: bool,
    /// They have to be read once more.
    load_again: bool,
    /// Events of the next page from the database, learned from the weight of the last.
    page_events: usize,
    /// Events whose publishers wait, until it is known for whom: the installations are being read.
    undecided: Vec<Arc<PlatformEvent>>,
    draining: bool,
    retired: bool,
    idleness: Idleness,
    /// Rings for the next tick.
    alarm: Alarm,
    /// Its own address, until it has handled [`Retire`](crate::mail::workspace::Retire).
    leaving: Option<Addr<Self>>,
    /// Who asked for an actor before the installations were read; bounded by the requests of admins.
    finds: Vec<(FindChild, oneshot::Sender<Found>)>,
    /// Who waits for the lanes to be attached: the waker alone.
    starts: Vec<oneshot::Sender<()>>,
    /// How many delivery actors it has started.
    incarnations: u64,
    /// Children stop when this is dropped.
    liveness: watch::Sender<()>,
}

impl fmt::Debug for WorkspaceActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkspaceActor").finish_non_exhaustive()
    }
}

impl WorkspaceActor {
    pub(super) fn new(id: WorkspaceId, shared: Arc<Shared>, entry: Arc<Entry>) -> Self {
        Self {
            id,
            idleness: Idleness::new(shared.clock.now()),
            alarm: Alarm::default(),
            leaving: None,
            shared,
            entry,
            head: Seq::ZERO,
            ring: Ring::default(),
            installed: BTreeMap::new(),
            patterns: PatternIndex::default(),
            waiting: BTreeMap::new(),
            sweeping: false,
            loaded: false,
            loading: false,
            load_again: false,
            page_events: FIRST_PAGE_EVENTS,
            undecided: Vec::new(),
            draining: false,
            retired: false,
            finds: Vec::new(),
            starts: Vec::new(),
            incarnations: 0,
            liveness: watch::channel(()).0,
        }
    }

    /// Reads head and installations. The actor is registered by now, so that whatever is committed after
    /// this read reaches it as a notice.
    fn load(&mut self, ctx: &mut Context<Self>) {
        if self.loading {
            self.load_again = true;
            return;
        }
        self.loading = true;
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let load = async move {
            // The semaphore is never closed.
            let _permit = shared.loads.acquire().await;
            shared.journal.load(id).await
        };
        // Interleaves with messages: notices that arrive meanwhile are merged by revision and place.
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
        self.loading = false;
        match loaded {
            // What was read may lack what the new reading is for.
            Ok(_) if self.load_again => {}
            Ok((head, views)) => {
                self.head = self.head.max(head);
                self.loaded = true;
                for view in views {
                    self.take_view(view, ctx);
                }
                self.decide_latches();
                // Also those of which a newer view came as a notice while this one was read.
                self.start_children_with_work(ctx);
                self.serve_waiting(&Concerned::All, ctx);
                self.answer_finds(ctx);
                self.answer_starts();
            }
            Err(error) => {
                log::warn!(workspace:% = self.id, error:%; "the installations of a workspace cannot be read yet");
                self.load_again = false;
                ctx.run_later(LOAD_PAUSE, |actor, ctx| actor.load(ctx));
            }
        }
        if std::mem::take(&mut self.load_again) {
            self.load(ctx);
        }
    }

    fn take_events(&mut self, head: Seq, recent: Ring, ctx: &mut Context<Self>) {
        let before = self.head;
        self.head = before.max(head);
        let is_all = recent.covers(before, self.head);
        self.take_latches(&recent);
        if !self.loaded {
            return self.ring.push(recent);
        }
        let concerned = if is_all {
            Concerned::Since {
                before,
                installations: self.concerned_by(&recent),
            }
        } else {
            Concerned::All
        };
        if let Concerned::Since { installations, .. } = &concerned {
            self.start_children_due(before, &recent, installations, ctx);
        }
        self.ring.push(recent);
        if !is_all {
            self.start_children_with_work(ctx);
        }
        self.serve_waiting(&concerned, ctx);
    }

    /// To whom one of these events may be due.
    fn concerned_by(&self, recent: &Ring) -> HashSet<InstallationId> {
        let mut concerned = HashSet::new();
        let mut last: Option<&EventKey> = None;
        for event in recent.iter() {
            // Events of one key tend to come together.
            if last != Some(&event.event_key) {
                last = Some(&event.event_key);
                self.patterns.find(&event.event_key, |id| {
                    concerned.insert(id);
                });
            }
        }
        concerned
    }
}

impl Actor for WorkspaceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Bounded by admission, one read per lane and one message about notices; `try_send` is not used.
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
        if !self.draining && !self.retired {
            self.entry.died(&ctx.address(), self.shared.clock.now());
            self.shared.workspace_stopped(self.id);
        }
    }
}

impl Handler<Publish> for WorkspaceActor {
    type Result = ();

    /// Every event of the workspace passes here on its way to the log, so that what the workspace knows can decide
    /// whether it may.
    fn handle(&mut self, publish: Publish, _: &mut Self::Context) {
        self.idleness.touch();
        match publish {
            Publish::Events(append) => self.shared.journal.append(append),
            Publish::Transaction(effect) => self.shared.journal.run_effect(*effect),
        }
    }
}

impl Handler<NewsWaits> for WorkspaceActor {
    type Result = ();

    /// Views first: they say from which place to which they hold, so that a newer view fits older events.
    fn handle(&mut self, _: NewsWaits, ctx: &mut Self::Context) {
        self.idleness.touch();
        let news = self.entry.take_news();
        if news.reload {
            // A change may have been committed without a notice: until it is known who is due, nobody is served.
            self.loaded = false;
            self.load(ctx);
        }
        for view in news.views.into_values() {
            self.take_view(view, ctx);
        }
        if !news.recent.is_empty() {
            self.take_events(news.head, news.recent, ctx);
        }
        for (installation, at) in news.retries {
            self.retries_added(installation, at, ctx);
        }
    }
}

impl Handler<DrainWorkspace> for WorkspaceActor {
    type Result = ResponseFuture<()>;

    /// Detached on purpose: the children's last messages must reach this actor while it waits.
    fn handle(&mut self, _: DrainWorkspace, _: &mut Self::Context) -> Self::Result {
        self.draining = true;
        let drained: Vec<oneshot::Receiver<()>> = self
            .installed
            .values_mut()
            .filter_map(|installed| {
                let (reply, drained) = oneshot::channel();
                installed.tell(Drain { reply }).then_some(drained)
            })
            .collect();
        Box::pin(async move {
            // A child that is dead already drops its reply, and is drained.
            join_all(drained).await;
        })
    }
}

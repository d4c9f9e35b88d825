//! The delivery actors of a workspace: started when there is something to do, replaced when they die.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::{
    WorkspaceActor,
    messages::{ChildEnd, ChildStopped, DrainWorkspace, FindChild, RetriesAdded},
};
use crate::{
    domain::{event::PlatformEvent, id::InstallationId, seq::Seq, span::is_due},
    journal::InstallationView,
    router::external_delivery::{Drain, ExternalDeliveryActor, RetriesWait, ViewChanged},
};

/// Pauses before a dead delivery actor is replaced: doubled with each death, forgotten after a quiet time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const QUIET_TIME: Duration = Duration::from_secs(60);

/// An installation and, when it has something to do, its actor.
pub(super) struct Installed {
    pub(super) view: Arc<InstallationView>,
    pub(super) child: Option<Addr<ExternalDeliveryActor>>,
    deaths: u32,
    last_death: Option<std::time::Instant>,
    /// A replacement is on its way.
    restarting: bool,
}

impl Installed {
    fn has_work(&self, head: Seq) -> bool {
        self.view.has_retries || self.view.settled < head || self.view.installation.uninstalled_at.is_some()
    }
}

impl WorkspaceActor {
    /// Keeps the newer of two views, tells the installation's actor, and starts one where it has to do.
    pub(super) fn take_view(&mut self, view: InstallationView, ctx: &mut Context<Self>) {
        let id = view.id();
        let installed = self.installed.entry(id).or_insert_with(|| Installed {
            view: Arc::new(view.clone()),
            child: None,
            deaths: 0,
            last_death: None,
            restarting: false,
        });
        if view.installation.revision < installed.view.installation.revision {
            return;
        }
        installed.view = Arc::new(view);
        match &installed.child {
            Some(child) => child.do_send(ViewChanged {
                view: Arc::clone(&installed.view),
            }),
            None if self.loaded && installed.has_work(self.head) => self.start_child(id, ctx),
            None => {}
        }
    }

    /// Starts the actors of all installations that have something to do and no actor.
    pub(super) fn start_children_with_work(&mut self, ctx: &mut Context<Self>) {
        let idle: Vec<InstallationId> = self
            .installed
            .iter()
            .filter(|(_, installed)| installed.child.is_none() && !installed.restarting)
            .filter(|(_, installed)| installed.has_work(self.head))
            .map(|(id, _)| *id)
            .collect();
        for id in idle {
            self.start_child(id, ctx);
        }
    }

    /// Starts the actors of installations that were idle and to which one of the events is due.
    pub(super) fn start_children_due(&mut self, events: &[Arc<PlatformEvent>], ctx: &mut Context<Self>) {
        let due: Vec<InstallationId> = self
            .installed
            .iter()
            .filter(|(_, installed)| installed.child.is_none() && !installed.restarting)
            .filter(|(_, installed)| {
                events
                    .iter()
                    .any(|event| is_due(&installed.view.spans, event.seq, &event.event_key))
            })
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.start_child(id, ctx);
        }
    }

    pub(super) fn start_child(&mut self, id: InstallationId, ctx: &mut Context<Self>) {
        if self.draining {
            return;
        }
        let Some(installed) = self.installed.get_mut(&id) else {
            return;
        };
        if installed.child.is_some() {
            return;
        }
        installed.restarting = false;
        let view = Arc::clone(&installed.view);
        let (shared, parent, liveness) = (Arc::clone(&self.shared), ctx.address(), self.liveness.subscribe());
        // Created on this thread: a lane lives on its workspace's arbiter.
        let child =
            ExternalDeliveryActor::create(|_| ExternalDeliveryActor::new(shared, parent, liveness, view));
        installed.child = Some(child);
    }
}

impl Handler<ChildStopped> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, stopped: ChildStopped, ctx: &mut Self::Context) {
        let id = stopped.installation_id;
        self.waiting.remove(&id);
        let Some(installed) = self.installed.get_mut(&id) else {
            return;
        };
        installed.child = None;
        match stopped.end {
            ChildEnd::Retired => {}
            ChildEnd::Closed => {
                self.installed.remove(&id);
            }
            ChildEnd::Failed => {
                let now = self.shared.clock.instant();
                if installed
                    .last_death
                    .is_some_and(|death| now.duration_since(death) > QUIET_TIME)
                {
                    installed.deaths = 0;
                }
                let pause = FIRST_PAUSE
                    .saturating_mul(1 << installed.deaths.min(16))
                    .min(LONGEST_PAUSE);
                installed.deaths += 1;
                installed.last_death = Some(now);
                installed.restarting = true;
                log::error!(
                    workspace:% = self.id, installation:% = id, deaths = installed.deaths;
                    "a delivery actor has died and is replaced"
                );
                ctx.run_later(pause, move |actor, ctx| actor.start_child(id, ctx));
            }
        }
    }
}

impl Handler<RetriesAdded> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, added: RetriesAdded, ctx: &mut Self::Context) {
        let child = self
            .installed
            .get(&added.installation_id)
            .and_then(|installed| installed.child.clone());
        match child {
            Some(child) => child.do_send(RetriesWait { at: added.at }),
            // It finds the retry when it attaches.
            None if self.loaded => self.start_child(added.installation_id, ctx),
            None => {}
        }
    }
}

impl Handler<FindChild> for WorkspaceActor {
    type Result = ResponseFuture<Option<Addr<ExternalDeliveryActor>>>;

    /// Detached: until the installations are read the answer waits, and messages go on.
    fn handle(&mut self, find: FindChild, ctx: &mut Self::Context) -> Self::Result {
        if self.loaded {
            return Box::pin(std::future::ready(self.find_child(&find, ctx)));
        }
        let (reply, found) = oneshot::channel();
        self.finds.push((find, reply));
        Box::pin(async move { found.await.ok().flatten() })
    }
}

impl WorkspaceActor {
    fn find_child(
        &mut self,
        find: &FindChild,
        ctx: &mut Context<Self>,
    ) -> Option<Addr<ExternalDeliveryActor>> {
        if find.start {
            self.start_child(find.installation_id, ctx);
        }
        self.installed.get(&find.installation_id)?.child.clone()
    }

    /// Answers those who asked before the installations were read.
    pub(super) fn answer_finds(&mut self, ctx: &mut Context<Self>) {
        for (find, reply) in std::mem::take(&mut self.finds) {
            // Who asked may have gone.
            let _ = reply.send(self.find_child(&find, ctx));
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
            .values()
            .filter_map(|installed| installed.child.as_ref())
            .map(|child| {
                let (reply, drained) = oneshot::channel();
                child.do_send(Drain { reply });
                drained
            })
            .collect();
        Box::pin(async move {
            // A child that is dead already drops its reply, and is drained.
            join_all(drained).await;
        })
    }
}

//! A router of a simulation: over simulated storage, on the current thread alone, with actors that can be made
//! to panic.

use actix::prelude::*;

use super::{
    Directory, EventRouter, RouterSettings,
    dead_letters::DeadLetterActor,
    external_delivery::ExternalDeliveryActor,
    in_process::InProcessHandlerActor,
    supervisor::RouterSupervisor,
    workspace::{FindChild, Found, Purpose, WorkspaceActor},
};
use crate::journal::{Journal, seam::Opened};
use pointsman_domain::id::{InstallationId, WorkspaceId};
use pointsman_simulated_clock::Clock;

/// Makes the actor panic in its handler, without a word on the standard error.
#[derive(Message)]
#[rtype(result = "()")]
struct SilentPanic;

macro_rules! can_panic_silently {
    ($($actor:ty),*) => {
        $(impl Handler<SilentPanic> for $actor {
            type Result = ();

            fn handle(&mut self, _: SilentPanic, _: &mut Self::Context) {
                std::panic::resume_unwind(Box::new("the simulation asked for it"));
            }
        })*
    };
}

can_panic_silently!(
    WorkspaceActor,
    ExternalDeliveryActor,
    InProcessHandlerActor,
    DeadLetterActor,
    RouterSupervisor
);

impl EventRouter {
    /// Starts the journal's writer as a task and the actors on the current arbiter. `settings.threads` is 0.
    pub(crate) fn start_simulated(settings: RouterSettings, opened: Opened) -> Self {
        let directory = std::sync::Arc::new(Directory::default());
        let sink = std::sync::Arc::clone(&directory);
        let (journal, writer) =
            Journal::over_simulated(opened, Box::new(move |notice| sink.notify(notice)), Clock);
        actix::spawn(writer);
        Self::over(settings, journal, directory, Clock)
    }

    pub(crate) fn panic_workspace(&self, workspace: WorkspaceId) {
        if let Some(actor) = self.shared.directory.entry(workspace).active() {
            actor.do_send(SilentPanic);
        }
    }

    /// Does nothing where the installation has no actor.
    pub(crate) async fn panic_delivery_actor(&self, workspace: WorkspaceId, installation: InstallationId) {
        let Some(parent) = self.active(workspace) else {
            return;
        };
        let find = FindChild {
            installation_id: installation,
            purpose: Purpose::Look,
        };
        if let Ok(Found::Actor(actor)) = parent.send(find).await {
            actor.tell(SilentPanic);
        }
    }

    pub(crate) fn panic_dead_letter_actor(&self) {
        self.shared.dead_letters().do_send(SilentPanic);
    }

    pub(crate) fn panic_supervisor(&self) {
        if let Some(actor) = self.shared.supervisor() {
            actor.do_send(SilentPanic);
        }
    }
}

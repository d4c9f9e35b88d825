//! The actors of a router, for test kits that look at them or make them fail. The engine does not use this.

use actix::Addr;
use pointsman_domain::id::{InstallationId, WorkspaceId};

pub use crate::{
    dead_letters::DeadLetterActor, external_delivery::ExternalDeliveryActor,
    in_process::InProcessHandlerActor, supervisor::RouterSupervisor, workspace::WorkspaceActor,
};
use crate::{
    event_router::EventRouter,
    mail::{
        actor_of,
        workspace::{FindChild, Found, Purpose},
    },
};

/// The actor of an installation.
#[derive(Clone, Debug)]
pub enum DeliveryActorAddress {
    External(Addr<ExternalDeliveryActor>),
    InProcess(Addr<InProcessHandlerActor>),
}

impl EventRouter {
    /// The actor of the workspace, where it has one right now.
    pub fn workspace_actor(&self, workspace: WorkspaceId) -> Option<Addr<WorkspaceActor>> {
        self.active(workspace).and_then(|actor| actor_of(&*actor))
    }

    /// The actor of the installation, where it has one right now.
    pub async fn delivery_actor(
        &self,
        workspace: WorkspaceId,
        installation_id: InstallationId,
    ) -> Option<DeliveryActorAddress> {
        let find = FindChild {
            installation_id,
            purpose: Purpose::Look,
        };
        let Ok(Found::Actor(actor)) = self.active(workspace)?.ask(find).await else {
            return None;
        };
        let in_process = || actor_of(&*actor).map(DeliveryActorAddress::InProcess);
        actor_of(&*actor)
            .map(DeliveryActorAddress::External)
            .or_else(in_process)
    }

    /// The actor of dead letters; one is started where the last has died.
    pub fn dead_letter_actor(&self) -> Option<Addr<DeadLetterActor>> {
        actor_of(&*self.shared.dead_letters())
    }

    /// The supervisor, where it lives.
    pub fn supervisor(&self) -> Option<Addr<RouterSupervisor>> {
        self.shared.supervisor().and_then(|actor| actor_of(&*actor))
    }
}

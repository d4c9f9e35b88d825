//! Actors that panic because the simulation asks for it.

use actix::{Handler, Message};
use pointsman_domain::id::{InstallationId, WorkspaceId};
use pointsman_router::{
    EventRouter,
    actors::{
        DeadLetterActor, DeliveryActorAddress, ExternalDeliveryActor, InProcessHandlerActor,
        RouterSupervisor, WorkspaceActor,
    },
};

/// Makes the actor panic in its handler, without a message on the standard error.
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

pub(crate) fn panic_of_workspace(router: &EventRouter, workspace: WorkspaceId) {
    if let Some(actor) = router.workspace_actor(workspace) {
        actor.do_send(SilentPanic);
    }
}

/// Does nothing where the installation has no actor.
pub(crate) async fn panic_of_delivery(router: &EventRouter, workspace: WorkspaceId, id: InstallationId) {
    match router.delivery_actor(workspace, id).await {
        Some(DeliveryActorAddress::External(actor)) => actor.do_send(SilentPanic),
        Some(DeliveryActorAddress::InProcess(actor)) => actor.do_send(SilentPanic),
        None => {}
    }
}

pub(crate) fn panic_of_dead_letters(router: &EventRouter) {
    if let Some(actor) = router.dead_letter_actor() {
        actor.do_send(SilentPanic);
    }
}

pub(crate) fn panic_of_supervisor(router: &EventRouter) {
    if let Some(actor) = router.supervisor() {
        actor.do_send(SilentPanic);
    }
}

//! What becomes of events when actors die: an actor that panics is replaced by one that goes on from the cursor.

mod effects;
mod in_process;
mod kit;
mod log_capture;
mod notices;
mod passivation;
mod poison;
mod probe;
mod restarts;
mod traps;
mod waker;

use std::time::Duration;

use actix::prelude::*;
use kit::{Running, on_both_engines};

use super::{
    actors::{
        DeadLetterActor, ExternalDeliveryActor, InProcessHandlerActor, RouterSupervisor, WorkspaceActor,
    },
    mail::{
        actor_of,
        delivery::DeliveryAddress,
        workspace::{FindChild, Found, Purpose},
    },
    *,
};
use futures_util::future::join_all;
use pointsman_clock::Clock;
use pointsman_domain::{
    event::NewEvent,
    id::{InstallationId, WorkspaceId},
    installation::InstallationChange,
};
use pointsman_receive::Behavior;
use tokio::sync::oneshot;

/// Makes the actor panic in its handler.
#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

macro_rules! can_be_made_to_panic {
    ($($actor:ty),*) => {
        $(impl Handler<Panic> for $actor {
            type Result = ();

            fn handle(&mut self, _: Panic, _: &mut Self::Context) {
                panic!("a test asked for it");
            }
        })*
    };
}

can_be_made_to_panic!(
    WorkspaceActor,
    ExternalDeliveryActor,
    InProcessHandlerActor,
    DeadLetterActor,
    RouterSupervisor
);

/// Makes the actor of an installation panic.
fn panic_of(actor: &DeliveryAddress) {
    match (
        actor_of::<ExternalDeliveryActor>(&**actor),
        actor_of::<InProcessHandlerActor>(&**actor),
    ) {
        (Some(external), _) => external.do_send(Panic),
        (_, Some(in_process)) => in_process.do_send(Panic),
        (None, None) => panic!("it is one of the two"),
    }
}

/// The workspace's actor, started where there is none.
fn workspace_actor(running: &Running, workspace: WorkspaceId) -> Addr<WorkspaceActor> {
    actor_of(&*running.router.shared.workspace(workspace)).unwrap()
}

fn panic_of_workspace(running: &Running, workspace: WorkspaceId) {
    workspace_actor(running, workspace).do_send(Panic);
}

on_both_engines!(
    async fn a_panic_of_a_delivery_actor_loses_nothing(running: Running) {
        let (workspace, installation) = running.installed().await;
        running.service.behave(Behavior::hang());
        let mut sent = running.publish(workspace, 20).await;
        running.service.arrived(1).await;
        let child = running.child(workspace, installation).await;
        running.service.behave(Behavior::default());
        panic_of(&child);
        sent.extend(running.publish(workspace, 20).await);
        running.every_one_arrives(&sent).await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_panic_of_a_workspace_actor_loses_nothing(running: Running) {
        let (workspace, _) = running.installed().await;
        running.service.behave(Behavior::hang());
        let mut sent = running.publish(workspace, 20).await;
        running.service.arrived(1).await;
        running.service.behave(Behavior::default());
        panic_of_workspace(&running, workspace);
        sent.extend(running.publish(workspace, 20).await);
        running.every_one_arrives(&sent).await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_dead_workspace_actor_is_replaced_without_a_publish(running: Running) {
        let (workspace, _) = running.installed().await;
        running.service.behave(Behavior::hang());
        let sent = running.publish(workspace, 5).await;
        running.service.arrived(1).await;
        running.service.behave(Behavior::default());
        panic_of_workspace(&running, workspace);
        running.every_one_arrives(&sent).await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_dead_supervisor_is_replaced(running: Running) {
        let (workspace, _) = running.installed().await;
        running.service.behave(Behavior::hang());
        let sent = running.publish(workspace, 5).await;
        running.service.arrived(1).await;
        running.service.behave(Behavior::default());
        let first = running.router.supervisor().unwrap();
        // The mailbox is closed once the actor is gone, and its successor registered by then.
        assert!(first.send(Panic).await.is_err());
        panic_of_workspace(&running, workspace);
        running.every_one_arrives(&sent).await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_panic_of_the_dead_letter_actor_loses_no_letter(running: Running) {
        let (workspace, _) = running.installed().await;
        running.service.behave(Behavior::status(410));
        let mut sent = Vec::new();
        for _ in 0..5 {
            running.router.dead_letter_actor().unwrap().do_send(Panic);
            sent.extend(running.publish(workspace, 4).await);
        }
        running.every_one_is_dead(&sent).await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn publishers_are_answered_while_the_actor_of_their_workspace_dies(running: Running) {
        let (workspace, _) = running.installed().await;
        let publishers = (0..4).map(|_| running.publish(workspace, 25));
        let killer = async {
            for _ in 0..5 {
                panic_of_workspace(&running, workspace);
                running.publish(workspace, 1).await;
            }
        };
        let (sent, ()) = futures_util::future::join(join_all(publishers), killer).await;
        running.every_one_arrives(&sent.concat()).await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn an_ordered_stop_leaves_nothing_to_repeat(running: Running) {
        let (workspace, _) = running.installed().await;
        let sent = running.publish(workspace, 200).await;
        running.every_one_arrives(&sent).await;
        running.router.stop(Duration::from_secs(20)).await;
        let arrived = running.service.count();
        let again = running.start_again().await;
        let next = again.publish(workspace, 1).await;
        again.every_one_arrives(&next).await;
        assert_eq!(
            again.service.count(),
            arrived + 1,
            "only the new event was delivered"
        );
        again.stop().await;
    }
);

//! What becomes of events when actors die: a panic is a restart from the cursor, and nothing else notices.

mod heard;
mod in_process;
mod kit;
mod news;
mod passivation;
mod probe;
mod restarts;
mod traps;

use std::time::Duration;

use actix::prelude::*;
use kit::{Running, on_both_engines};

use super::{
    external_delivery::ExternalDeliveryActor, supervisor::RouterSupervisor, workspace::WorkspaceActor, *,
};
use pointsman_receive::Behavior;

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
    super::in_process::InProcessHandlerActor,
    dead_letters::DeadLetterActor,
    RouterSupervisor
);

on_both_engines!(
    async fn a_panic_of_a_delivery_actor_loses_nothing(running: Running) {
        let (workspace, installation) = running.installed().await;
        running.service.behave(Behavior::hang());
        let mut sent = running.publish(workspace, 20).await;
        running.service.arrived(1).await;
        let child = running.child(workspace, installation).await;
        running.service.behave(Behavior::default());
        child.tell(Panic);
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
        running.router.shared.workspace(workspace).do_send(Panic);
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
        running.router.shared.workspace(workspace).do_send(Panic);
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
        let first = running.router.shared.supervisor().unwrap();
        // The mailbox is closed once the actor is gone, and its successor registered by then.
        assert!(first.send(Panic).await.is_err());
        running.router.shared.workspace(workspace).do_send(Panic);
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
            running.router.shared.dead_letters().do_send(Panic);
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
                running.router.shared.workspace(workspace).do_send(Panic);
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

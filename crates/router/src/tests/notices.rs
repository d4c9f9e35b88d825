//! The notices that wait for a WorkspaceActor that is busy.

use std::sync::mpsc;

use super::{
    kit::{Running, new_event, on_both_engines},
    passivation::append,
    *,
};

/// Holds the actor and its thread until the other end is dropped.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Hold(pub(super) mpsc::Receiver<()>);

impl Handler<Hold> for WorkspaceActor {
    type Result = ();

    fn handle(&mut self, Hold(until): Hold, _: &mut Self::Context) {
        // Ends with an error when the other end is dropped.
        let _ = until.recv();
    }
}

on_both_engines!(
    async fn what_waits_for_a_busy_workspace_is_bounded_and_all_of_it_is_delivered(running: Running) {
        let (workspace, _) = running.installed().await;
        let first = running.publish(workspace, 1).await;
        running.every_one_arrives(&first).await;
        let entry = running.router.shared.directory.entry(workspace);
        let (release, until) = mpsc::channel();
        actor_of::<WorkspaceActor>(&*entry.active().unwrap())
            .unwrap()
            .do_send(Hold(until));
        let mut sent = Vec::new();
        for _ in 0..24 {
            let events: Vec<NewEvent> = (0..200).map(|_| new_event()).collect();
            sent.extend(events.iter().map(|event| event.id));
            append(&running, workspace, events).await;
        }
        // The notice of the last follows its answer.
        running
            .eventually("the notices are there", async || entry.waiting() == (4_096, true))
            .await;
        drop(release);
        running.every_one_arrives(&sent).await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_subscription_that_ends_while_its_workspace_is_busy_gets_no_later_event(running: Running) {
        let (workspace, installation) = running.installed().await;
        let first = running.publish(workspace, 1).await;
        running.every_one_arrives(&first).await;
        let entry = running.router.shared.directory.entry(workspace);
        let (release, until) = mpsc::channel();
        actor_of::<WorkspaceActor>(&*entry.active().unwrap())
            .unwrap()
            .do_send(Hold(until));
        append(&running, workspace, vec![new_event()]).await;
        let disable = InstallationChange::Update(pointsman_domain::installation::InstallationUpdate {
            enabled: Some(false),
            ..Default::default()
        });
        let journal = &running.router.shared.journal;
        journal
            .change_installation(workspace, installation, disable)
            .await
            .unwrap();
        append(&running, workspace, vec![new_event()]).await;
        let enable = InstallationChange::Update(pointsman_domain::installation::InstallationUpdate {
            enabled: Some(true),
            ..Default::default()
        });
        journal
            .change_installation(workspace, installation, enable)
            .await
            .unwrap();
        let last = new_event();
        let last_id = last.id;
        append(&running, workspace, vec![last]).await;
        drop(release);
        running.every_one_arrives(&[last_id]).await;
        running.router.stop(Duration::from_secs(20)).await;
        assert_eq!(
            running.service.count(),
            3,
            "what came while it was disabled is not due"
        );
        running.service.stop().await;
    }
);

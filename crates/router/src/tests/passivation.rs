//! Actors that have nothing to do stop, and are started again when there is something to do.

use std::sync::Arc;

use super::{
    kit::{Running, new_event, on_both_engines},
    *,
};
use pointsman_domain::{
    idempotency::Recorded, installation::InstallationUpdate, retry_schedule::RetrySchedule,
};
use pointsman_journal::Append;

fn impatient(settings: &mut RouterSettings) {
    settings.passivate_after = Duration::from_millis(20);
}

fn hardly_patient(settings: &mut RouterSettings) {
    settings.passivate_after = Duration::from_millis(1);
}

fn with_long_retries(settings: &mut RouterSettings) {
    impatient(settings);
    settings.schedule = RetrySchedule::new(vec![Duration::from_millis(400); 3], 0.0);
}

fn with_a_short_hold(settings: &mut RouterSettings) {
    impatient(settings);
    settings.max_hold = Duration::from_millis(500);
}

fn paused(paused: bool) -> InstallationChange {
    InstallationChange::Update(InstallationUpdate {
        paused: Some(paused),
        ..InstallationUpdate::default()
    })
}

on_both_engines!(
    async fn an_idle_workspace_goes_with_all_its_actors_and_comes_back(running: Running with impatient) {
        let (workspace, installation) = running.installed().await;
        for _ in 0..3 {
            let sent = running.publish(workspace, 5).await;
            running.every_one_arrives(&sent).await;
            running.nobody_is_active().await;
            assert!(running.router.health(workspace, installation).await.is_none());
        }
        assert_eq!(running.service.count(), 15, "nothing was delivered twice");
        running.stop().await;
    }
);

on_both_engines!(
    async fn cursors_follow_what_was_not_due_before_a_workspace_goes(running: Running with impatient) {
        let (workspace, _) = running.installed().await;
        running.install(workspace, "chat", "chat.**").await;
        let sent = running.publish(workspace, 50).await;
        running.every_one_arrives(&sent).await;
        running.nobody_is_active().await;
        let journal = &running.router.shared.journal;
        assert!(journal.next_work(vec![workspace]).await.unwrap().is_empty());
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_publish_that_meets_a_workspace_on_its_way_out_loses_nothing(
        running: Running with hardly_patient,
    ) {
        let (workspace, _) = running.installed().await;
        let mut sent = Vec::new();
        for round in 0..150 {
            sent.extend(running.publish(workspace, 1).await);
            if round % 3 == 0 {
                running.every_one_arrives(&sent).await;
            }
            if round % 5 == 0 {
                running.nobody_is_active().await;
            }
        }
        running.every_one_arrives(&sent).await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn what_is_committed_for_a_workspace_without_an_actor_is_delivered(running: Running with impatient) {
        let (workspace, _) = running.installed().await;
        let sent = running.publish(workspace, 1).await;
        running.every_one_arrives(&sent).await;
        for _ in 0..20 {
            running.nobody_is_active().await;
            let event = new_event();
            let id = event.id;
            append(&running, workspace, vec![event]).await;
            running.every_one_arrives(&[id]).await;
        }
        running.stop().await;
    }
);

/// Appends the events to the journal without any actor.
pub(super) async fn append(running: &Running, workspace: WorkspaceId, events: Vec<NewEvent>) -> Recorded {
    let shared = &running.router.shared;
    let permit = pointsman_journal::Admission::new(8)
        .admit(&pointsman_journal::WorkspaceAdmission::default(), 1)
        .unwrap();
    let (reply, answer) = oneshot::channel();
    shared.journal.append(Append {
        latch: None,
        workspace_id: workspace,
        events,
        idempotency: None,
        reply,
        derived: false,
        permit: Some(permit),
    });
    answer.await.unwrap().unwrap()
}

on_both_engines!(
    async fn a_retry_that_is_far_away_does_not_keep_the_workspace_and_comes_in_time(
        running: Running with with_long_retries,
    ) {
        let (workspace, _) = running.installed().await;
        running.service.behave(Behavior::fail_first(1));
        let sent = running.publish(workspace, 1).await;
        running.service.arrived(1).await;
        running.nobody_is_active().await;
        running.service.arrived(2).await;
        running.nobody_is_active().await;
        assert_eq!(running.service.count(), 2);
        assert!(running.letters(&sent).await.is_empty());
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_childless_installation_gets_its_retry_while_its_workspace_is_active(
        running: Running with with_long_retries,
    ) {
        let (workspace, installation) = running.installed().await;
        running.service.behave(Behavior::fail_first(1));
        running.publish(workspace, 1).await;
        running.service.arrived(1).await;
        // Questions keep the WorkspaceActor from stopping, not the actor of the installation.
        running
            .eventually("the actor has gone", async || {
                running.router.health(workspace, installation).await.is_none()
            })
            .await;
        running
            .eventually("the retry has come", async || {
                let find = FindChild {
                    installation_id: InstallationId::new(uuid::Uuid::nil()),
                    purpose: Purpose::Look,
                };
                let _ = workspace_actor(&running, workspace).send(find).await;
                running.service.count() == 2
            })
            .await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_paused_installation_with_a_backlog_keeps_nobody_and_goes_on_when_resumed(
        running: Running with impatient,
    ) {
        let (workspace, installation) = running.installed().await;
        running.change(workspace, installation, paused(true)).await;
        let sent = running.publish(workspace, 20).await;
        running.nobody_is_active().await;
        assert_eq!(running.service.count(), 0);
        let journal = &running.router.shared.journal;
        let next_work = journal.next_work(vec![workspace]).await.unwrap();
        assert!(next_work[&workspace] > Clock.now(), "when it may expire");
        running.change(workspace, installation, paused(false)).await;
        running.every_one_arrives(&sent).await;
        running.nobody_is_active().await;
        assert_eq!(running.service.count(), 20);
        running.stop().await;
    }
);

on_both_engines!(
    async fn what_is_held_for_too_long_expires_though_its_workspace_has_gone(
        running: Running with with_a_short_hold,
    ) {
        let (workspace, installation) = running.installed().await;
        running.change(workspace, installation, paused(true)).await;
        let sent = running.publish(workspace, 5).await;
        running.nobody_is_active().await;
        running.every_one_is_dead(&sent).await;
        assert_eq!(running.letters(&sent).await, ["EXPIRED"; 5]);
        running.nobody_is_active().await;
        assert_eq!(running.service.count(), 0);
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_replay_reaches_a_workspace_that_has_gone(running: Running with impatient) {
        let (workspace, _) = running.installed().await;
        running.service.behave(Behavior::status(410));
        let sent = running.publish(workspace, 1).await;
        running.every_one_is_dead(&sent).await;
        running.nobody_is_active().await;
        running.service.behave(Behavior::default());
        let letter = running.letter_of(sent[0]).await;
        running.router.replay(workspace, letter, None).await.unwrap();
        running.service.arrived(2).await;
        running.nobody_is_active().await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_thousand_workspaces_cost_nothing_once_they_are_idle(running: Running with impatient) {
        let shared = &running.router.shared;
        running.nobody_is_active().await;
        let before = Arc::strong_count(shared);
        for _ in 0..1_000 {
            shared.activate(WorkspaceId::new(Clock.new_uuid()));
        }
        running.nobody_is_active().await;
        running
            .eventually("every actor has gone", async || Arc::strong_count(shared) <= before)
            .await;
        running.stop().await;
    }
);

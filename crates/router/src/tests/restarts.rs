//! How often actors are replaced, and what becomes of those that are not.

use super::{
    kit::{Running, on_both_engines},
    log_capture, *,
};
use pointsman_domain::installation::InstallationUpdate;
use pointsman_journal::Notice;

/// Kills each actor of the installation as soon as it is started, until the installation is marked as failed.
async fn given_up(running: &Running, workspace: WorkspaceId, installation: InstallationId) -> usize {
    for deaths in 0..100 {
        let child = running
            .router
            .started_child(workspace, installation, Purpose::Start)
            .await;
        match child {
            Ok(child) => {
                panic_of(&child);
                // The mailbox is closed once the actor is gone and has told its parent.
                running
                    .eventually("the actor is gone", async || !is_alive(&child))
                    .await;
            }
            Err(ChangeError::Conflict(_)) => return deaths,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it is never given up");
}

fn is_alive(actor: &DeliveryAddress) -> bool {
    let external = actor_of::<ExternalDeliveryActor>(&**actor);
    external.is_some_and(|actor| actor.connected())
}

/// Whether the installation is marked as failed, once the workspace's actor has handled all messages sent before.
async fn is_failed(running: &Running, workspace: WorkspaceId, installation_id: InstallationId) -> bool {
    let find = FindChild {
        installation_id,
        purpose: Purpose::Look,
    };
    let found = workspace_actor(running, workspace).send(find).await.unwrap();
    let health = running.router.health(workspace, installation_id).await;
    let is_marked = health.is_some_and(|health| health.failed);
    assert_eq!(
        matches!(found, Found::Failed),
        is_marked,
        "health tells of the mark"
    );
    is_marked
}

on_both_engines!(
    async fn an_installation_whose_actor_dies_again_and_again_waits_until_it_is_reset(running: Running) {
        log_capture::listen();
        let (workspace, installation) = running.installed().await;
        assert_eq!(given_up(&running, workspace, installation).await, 8);
        let told = log_capture::lines("its installation has failed", installation);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&format!("workspace={workspace}")), "{told:?}");
        let sent = running.publish(workspace, 3).await;
        let notice = Notice::RetriesAdded {
            workspace_id: workspace,
            installation_id: installation,
            at: Clock.now(),
        };
        running.router.shared.notify(notice);
        running.router.shared.notify(Notice::Reconnected);
        assert!(is_failed(&running, workspace, installation).await);
        assert_eq!(running.service.count(), 0);

        running.router.reset(workspace, installation).await.unwrap();
        running.every_one_arrives(&sent).await;
        assert!(!is_failed(&running, workspace, installation).await);
        running.stop().await;
    }
);

on_both_engines!(
    async fn an_actor_whose_settlement_is_refused_as_outdated_is_not_said_to_have_died(running: Running) {
        log_capture::listen();
        let (workspace, installation) = running.installed().await;
        let first = running.publish(workspace, 1).await;
        running.every_one_arrives(&first).await;
        // The lane of the actor may not settle any more.
        running.router.shared.journal.attach(installation).await.unwrap();
        let sent = running.publish(workspace, 3).await;
        running.every_one_arrives(&sent).await;
        let told = || log_capture::lines("a delivery actor", installation);
        running
            .eventually("the actor is replaced", async || !told().is_empty())
            .await;
        assert!(
            told()[0].starts_with("WARN a delivery actor was interrupted"),
            "{:?}",
            told()
        );
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_change_by_an_admin_tries_a_failed_installation_again(running: Running) {
        let (workspace, installation) = running.installed().await;
        let neighbour = running.install(workspace, "chat", "chat.**").await;
        given_up(&running, workspace, installation).await;
        let sent = running.publish(workspace, 3).await;
        let rename = |name: &str| {
            InstallationChange::Update(InstallationUpdate {
                name: Some(name.to_owned()),
                ..InstallationUpdate::default()
            })
        };
        running.change(workspace, neighbour, rename("Chat")).await;
        assert!(is_failed(&running, workspace, installation).await);
        running.change(workspace, installation, rename("CRM 2")).await;
        running.every_one_arrives(&sent).await;
        assert!(!is_failed(&running, workspace, installation).await);
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_failed_installation_stays_failed_when_the_actor_of_its_workspace_dies_and_not_after_a_restart(
        running: Running,
    ) {
        let (workspace, installation) = running.installed().await;
        given_up(&running, workspace, installation).await;
        let actor = workspace_actor(&running, workspace);
        assert!(actor.send(Panic).await.is_err());
        let sent = running.publish(workspace, 3).await;
        assert!(is_failed(&running, workspace, installation).await);
        running.router.stop(Duration::from_secs(20)).await;
        let again = running.start_again().await;
        again.every_one_arrives(&sent).await;
        again.stop().await;
    }
);

on_both_engines!(
    async fn publishers_do_not_wait_while_a_workspace_actor_dies_again_and_again(running: Running) {
        let (workspace, _) = running.installed().await;
        let mut sent = Vec::new();
        for _ in 0..4 {
            let actor = workspace_actor(&running, workspace);
            assert!(actor.send(Panic).await.is_err());
            sent.extend(running.publish(workspace, 5).await);
        }
        running.every_one_arrives(&sent).await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn a_poisonous_event_becomes_a_dead_letter_and_its_neighbours_arrive(running: Running) {
        let (workspace, _) = running.installed().await;
        let (poison, mut events) = (kit::new_event(), Vec::new());
        poison::poison(poison.id);
        running.service.behave(Behavior::hang());
        events.extend(running.publish(workspace, 10).await);
        running
            .router
            .publish(workspace, poison.clone(), None)
            .await
            .unwrap();
        running.service.behave(Behavior::default());
        events.extend(running.publish(workspace, 10).await);
        running.every_one_arrives(&events).await;
        running.every_one_is_dead(&[poison.id]).await;
        assert_eq!(running.letters(&[poison.id]).await, ["POISON"]);
        assert!(
            running.letters(&events).await.is_empty(),
            "only the culprit is given up"
        );
        running.stop().await;
    }
);

fn with_a_touchy_breaker(settings: &mut RouterSettings) {
    settings.breaker_failures = 3;
    // Soon enough, and as a whole so long that the breaker holds nothing for longer.
    settings.schedule = settings
        .schedule
        .with_delays(vec![Duration::from_millis(20); 3_000]);
}

on_both_engines!(
    async fn an_open_breaker_is_seen_and_a_reset_closes_it(running: Running with with_a_touchy_breaker) {
        let (workspace, installation) = running.installed().await;
        let is_open = async || {
            let health = running.router.health(workspace, installation).await;
            health.is_some_and(|health| matches!(health.breaker, pointsman_domain::lane::BreakerState::Open { .. }))
        };
        running.service.behave(Behavior::status(500));
        let sent = running.publish(workspace, 10).await;
        running.eventually("the breaker is open", is_open).await;
        running.service.behave(Behavior::default());
        running.router.reset(workspace, installation).await.unwrap();
        running.every_one_arrives(&sent).await;
        assert!(!is_open().await);
        running.stop().await;
    }
);

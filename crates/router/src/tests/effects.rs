//! What becomes of effects with events while the WorkspaceActor that they pass through dies.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use futures_util::{FutureExt, poll};

use super::{
    kit::{Running, new_event, on_both_engines},
    notices::Hold,
    probe::{notes, with_probe},
    *,
};

/// Holds the workspace's actor, which dies as soon as the sender is dropped: before it handles what it is sent
/// meanwhile.
fn hold_and_kill(running: &Running, workspace: WorkspaceId) -> mpsc::Sender<()> {
    let (release, until) = mpsc::channel();
    let actor = workspace_actor(running, workspace);
    actor.do_send(Hold(until));
    actor.do_send(Panic);
    release
}

on_both_engines!(
    async fn a_transaction_that_dies_with_an_actor_is_sent_to_its_successor(running: Running) {
        let (workspace, _) = running.installed().await;
        let release = hold_and_kill(&running, workspace);
        let (event, runs) = (new_event(), Arc::new(AtomicUsize::new(0)));
        let (id, counted) = (event.id, Arc::clone(&runs));
        let transaction = running.router.transact(workspace, vec![event], move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }.boxed()
        });
        let mut transaction = Box::pin(transaction);
        assert!(poll!(&mut transaction).is_pending(), "it is in the mailbox");
        drop(release);
        assert_eq!(transaction.await.unwrap(), [id]);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        running.every_one_arrives(&[id]).await;
        running.stop().await;
    }
);

on_both_engines!(
    async fn an_effect_that_dies_with_an_actor_is_done_once_and_its_attempt_does_not_fail(
        running: Running with with_probe,
    ) {
        let (workspace, _) = running.probed().await;
        let event = running.order(workspace, "probe.async", "wait_and_effect").await;
        notes(workspace).called("on_async", 1).await;
        let release = hold_and_kill(&running, workspace);
        notes(workspace).gate.notify_one();
        // By now the effect is in the mailbox, or about to be sent to an actor that is gone.
        notes(workspace).called("effect", 1).await;
        drop(release);
        let is_done = async || {
            // A successor of the lane may call the handler again.
            notes(workspace).gate.notify_one();
            running.events(workspace).await.len() > 1
        };
        running.eventually("the effect is done", is_done).await;
        let next = running.order(workspace, "probe.async", "nothing").await;
        running.attempts(next, 1).await;
        let events = running.events(workspace).await;
        let done = events.iter().filter(|event| event.event_key == "probe.done");
        assert_eq!(done.count(), 1);
        let attempts = running.attempts(event, 0).await;
        assert!(attempts.iter().all(|attempt| attempt.outcome == "DELIVERED"), "{attempts:?}");
        running.stop().await;
    }
);

on_both_engines!(
    async fn nobody_is_told_that_the_server_stops_where_its_journal_has_ended(running: Running) {
        let (workspace, _) = running.installed().await;
        running.router.shared.journal.stop().await;
        let transaction = running
            .router
            .transact(workspace, vec![new_event()], |_| async { Ok(()) }.boxed());
        assert!(matches!(transaction.await, Err(PublishError::StorageUnavailable)));
        let published = running.router.publish(workspace, new_event(), None);
        assert!(matches!(published.await, Err(PublishError::StorageUnavailable)));
        running.router.stop_accepting();
        let published = running.router.publish(workspace, new_event(), None);
        assert!(matches!(published.await, Err(PublishError::ShuttingDown)));
        running.stop().await;
    }
);

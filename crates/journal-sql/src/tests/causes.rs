//! The causes of an event are stored and delivered with it.

use super::*;
use pointsman_domain::{event::Cause, id::EventId};

fn cause(depth: u32) -> Cause {
    Cause {
        causation_id: EventId::new(Clock.new_uuid()),
        correlation_id: EventId::new(Clock.new_uuid()),
        depth,
    }
}

on_both_engines!(
    async fn causes_are_kept_with_the_event(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let caused = NewEvent {
            cause: Some(cause(3)),
            ..new_event()
        };
        let events = vec![new_event(), caused.clone()];
        kit::append(&journal, workspace, events).await.unwrap().unwrap();
        let read = journal.page(workspace, Seq::ZERO, Seq::new(9), 10).await.unwrap();
        assert_eq!(read[0].cause, None);
        assert_eq!(read[0].correlation_id(), read[0].id);
        assert_eq!(read[0].caused().depth, 1);
        assert_eq!(read[1].cause, caused.cause);
        let next = read[1].caused();
        assert_eq!(next.causation_id, caused.id);
        assert_eq!(next.correlation_id, caused.cause.unwrap().correlation_id);
        assert_eq!(next.depth, 4);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_replay_brings_the_causes_of_the_letters_copy(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        let event = NewEvent {
            cause: Some(cause(1)),
            ..new_event()
        };
        kit::append(&journal, workspace, vec![event.clone()])
            .await
            .unwrap()
            .unwrap();
        let letter = DeadLetterId::new(Clock.new_uuid());
        kit::give_up(&journal, workspace, installation, Seq::new(1), letter).await;
        // The event is deleted from the log; the dead letter keeps its copy.
        kit::execute_directly(&journal, "DELETE FROM platform_event").await;
        journal.start_replay(workspace, letter, None).await.unwrap();
        let due = Timestamp::from_millis(i64::MAX);
        let (rows, _) = journal
            .due_retries(workspace, installation, due, 10)
            .await
            .unwrap();
        assert_eq!(rows[0].event.cause, event.cause);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn the_chain_of_causes_is_followed_upward(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let mut ids = Vec::new();
        for _ in 0..5 {
            let last = journal.page(workspace, Seq::new(ids.len() as i64 - 1), Seq::new(9), 1);
            let cause = last.await.unwrap().first().map(|event| event.caused());
            let event = NewEvent { cause, ..new_event() };
            ids.push(event.id);
            kit::append(&journal, workspace, vec![event])
                .await
                .unwrap()
                .unwrap();
        }
        ids.reverse();
        let chain = async |workspace, limit| -> Vec<EventId> {
            let causes = journal.causes_of(workspace, ids[0], limit).await.unwrap();
            assert!(causes.iter().all(|(_, key)| key.as_str() == "a.b"));
            causes.into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(chain(workspace, 16).await, ids);
        assert_eq!(chain(workspace, 3).await, ids[..3]);
        assert_eq!(chain(scratch.workspace(), 16).await, []);
        journal.stop().await;
    }
);

//! An event that a handler publishes is recorded once, however often the handler is executed.

use super::*;
use pointsman_domain::{event::derived_id, id::EventId, idempotency::Recorded};

/// The `n`-th event that a handler of `source` publishes.
fn derived(source: EventId, n: u32) -> NewEvent {
    let installation = InstallationId::new(uuid::Uuid::nil());
    NewEvent {
        id: derived_id(source, installation, "deal_closed", n),
        ..new_event()
    }
}

fn source() -> EventId {
    EventId::new(Clock.new_uuid())
}

fn recorded(event: &NewEvent, replayed: bool) -> Result<Recorded, AppendError> {
    Ok(Recorded {
        event_ids: vec![event.id],
        replayed,
    })
}

on_both_engines!(
    async fn a_handler_that_is_run_again_publishes_nothing_twice(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, source) = (scratch.workspace(), source());
        let publish = async |n: u32| {
            let event = derived(source, n);
            let answer = kit::append_derived(&journal, workspace, vec![event.clone()]).await;
            (event, answer.unwrap())
        };
        let (event, answer) = publish(0).await;
        assert_eq!(answer, recorded(&event, false));
        let (event, answer) = publish(0).await;
        assert_eq!(answer, recorded(&event, true));
        let (event, answer) = publish(1).await;
        assert_eq!(answer, recorded(&event, false));
        assert_eq!(kit::positions(&journal, workspace).await, [1, 2]);
        assert_eq!(scratch.committed(&journal).await.len(), 2, "a repeat is no news");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn two_of_the_same_in_one_batch_are_one(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, event) = (scratch.workspace(), derived(source(), 0));
        let before = derived(source(), 0);
        kit::append_derived(&journal, workspace, vec![before.clone()])
            .await
            .unwrap()
            .unwrap();
        let gate = kit::hold(&journal).await;
        let send = |event: &NewEvent| kit::append_derived(&journal, workspace, vec![event.clone()]);
        let answers = [send(&event), send(&before), send(&event), send(&event)];
        let other = kit::append(&journal, workspace, vec![new_event()]);
        drop(gate);
        let expected = [
            recorded(&event, false),
            recorded(&before, true),
            recorded(&event, true),
            recorded(&event, true),
        ];
        for (answer, expected) in answers.into_iter().zip(expected) {
            assert_eq!(answer.await.unwrap(), expected);
        }
        assert!(other.await.unwrap().is_ok());
        assert_eq!(kit::positions(&journal, workspace).await, [1, 2, 3]);
        journal.stop().await;
    }
);

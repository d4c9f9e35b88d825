//! The connection was cut while it was idle: the next command succeeds as any other.

use super::*;
use pointsman_domain::{event::derived_id, idempotency::Recorded};

fn recorded(event: &NewEvent) -> Result<Recorded, AppendError> {
    Ok(Recorded {
        event_ids: vec![event.id],
        replayed: false,
    })
}

on_both_engines!(
    async fn publishers_do_not_see_it(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        for round in 0..3 {
            scratch.cut_connections(&journal).await;
            let events = [new_event(), new_event(), new_event()];
            let answers = events
                .clone()
                .map(|event| kit::append(&journal, workspace, vec![event]));
            for (event, answer) in events.iter().zip(answers) {
                assert_eq!(answer.await.unwrap(), recorded(event));
            }
            scratch.cut_connections(&journal).await;
            let event = new_event();
            let keyed = kit::key(&round.to_string(), 1);
            let answer = kit::append_under(&journal, workspace, vec![event.clone()], keyed);
            assert_eq!(answer.await.unwrap(), recorded(&event));
            scratch.cut_connections(&journal).await;
            let event = NewEvent {
                id: derived_id(
                    event.id,
                    InstallationId::new(uuid::Uuid::nil()),
                    "deal_closed",
                    round,
                ),
                ..new_event()
            };
            let answer = kit::append_derived(&journal, workspace, vec![event.clone()]);
            assert_eq!(answer.await.unwrap(), recorded(&event));
        }
        assert_eq!(
            kit::positions(&journal, workspace).await,
            (1..=15).collect::<Vec<_>>()
        );
        assert_eq!(
            scratch
                .committed(&journal)
                .await
                .iter()
                .map(Vec::len)
                .sum::<usize>(),
            15
        );
        assert_eq!(journal.storage_state(), Ok(()));
        journal.stop().await;
    }
);

on_both_engines!(
    async fn admins_do_not_see_it(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        kit::append(&journal, workspace, vec![new_event()])
            .await
            .unwrap()
            .unwrap();
        let letter = DeadLetterId::new(Clock.new_uuid());
        kit::give_up(&journal, workspace, installation, Seq::new(1), letter).await;
        scratch.cut_connections(&journal).await;
        let installed = journal.install(workspace, kit::new_installation("erp")).await;
        assert!(installed.is_ok(), "{installed:?}");
        scratch.cut_connections(&journal).await;
        let subscribe = pointsman_domain::installation::InstallationChange::Subscribe {
            subscription_id: SubscriptionId::new(Clock.new_uuid()),
            pattern: EventPattern::parse("a.*").unwrap(),
        };
        let subscribed = journal
            .change_installation(workspace, installation, subscribe)
            .await;
        assert!(subscribed.is_ok(), "{subscribed:?}");
        scratch.cut_connections(&journal).await;
        kit::execute_directly(&journal, "CREATE TABLE mine (id INTEGER)").await;
        scratch.cut_connections(&journal).await;
        let discarded = journal.discard(workspace, letter).await;
        assert!(discarded.is_ok(), "{discarded:?}");
        scratch.cut_connections(&journal).await;
        assert!(journal.attach(installation).await.is_ok());
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_stop_that_comes_with_the_loss_waits_for_what_is_written_once_more(scratch: Scratch) {
        let workspace = scratch.workspace();
        for round in 1..=3 {
            let journal = scratch.open().await;
            scratch.cut_connections(&journal).await;
            let event = new_event();
            // Both commands are queued before the writer takes the first.
            let answer = kit::append(&journal, workspace, vec![event.clone()]);
            journal.stop().await;
            assert_eq!(answer.await.unwrap(), recorded(&event), "round {round}");
        }
        let journal = scratch.open().await;
        assert_eq!(kit::positions(&journal, workspace).await, [1, 2, 3]);
        journal.stop().await;
    }
);

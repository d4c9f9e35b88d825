//! An idempotency key has one event at most.

use futures_util::future::{join, join_all};
use sea_orm::{ConnectionTrait, Statement};

use super::{
    kit::{append_under, execute_directly, hold, key},
    *,
};
use pointsman_domain::idempotency::Recorded;

async fn stored_keys(journal: &OpenJournal) -> i64 {
    let sql = "SELECT COUNT(*) AS number FROM publish_idempotency_key";
    let statement = Statement::from_string(journal.reader().get_database_backend(), sql);
    let row = journal.reader().query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "number").unwrap()
}

on_both_engines!(
    async fn the_same_key_and_body_creates_nothing_and_answers_as_the_first_time(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, elsewhere) = (scratch.workspace(), scratch.workspace());
        let events = vec![new_event(), new_event()];
        let event_ids: Vec<_> = events.iter().map(|event| event.id).collect();
        let first = append_under(&journal, workspace, events, key("k", 1))
            .await
            .unwrap();
        assert_eq!(
            first,
            Ok(Recorded {
                event_ids: event_ids.clone(),
                replayed: false
            })
        );
        let again =
            |journal: &OpenJournal, body| append_under(journal, workspace, vec![new_event()], key("k", body));
        let replayed = Ok(Recorded {
            event_ids,
            replayed: true,
        });
        assert_eq!(again(&journal, 1).await.unwrap(), replayed);
        assert_eq!(again(&journal, 2).await.unwrap(), Err(AppendError::KeyReused));
        let other = append_under(&journal, elsewhere, vec![new_event()], key("k", 2)).await;
        assert!(!other.unwrap().unwrap().replayed, "keys belong to a workspace");
        journal.stop().await;

        let journal = scratch.open().await;
        assert_eq!(again(&journal, 1).await.unwrap(), replayed, "after a restart");
        assert_eq!(kit::positions(&journal, workspace).await, [1, 2]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn while_the_first_is_in_progress_its_key_is_in_use(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let gate = hold(&journal).await;
        let first = append_under(&journal, workspace, vec![new_event()], key("k", 1));
        let second = append_under(&journal, workspace, vec![new_event()], key("k", 1));
        let other = append_under(&journal, workspace, vec![new_event()], key("l", 1));
        drop(gate);
        assert!(!first.await.unwrap().unwrap().replayed);
        assert_eq!(second.await.unwrap(), Err(AppendError::KeyInUse));
        assert!(other.await.unwrap().is_ok());
        assert_eq!(kit::positions(&journal, workspace).await, [1, 2]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_publish_that_its_router_sends_again_is_itself(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let event = new_event();
        let send = || append_under(&journal, workspace, vec![event.clone()], key("k", 1));
        let gate = hold(&journal).await;
        let answers = [send(), send()];
        drop(gate);
        for answer in answers.into_iter().chain([send()]) {
            assert!(!answer.await.unwrap().unwrap().replayed);
        }
        assert_eq!(kit::positions(&journal, workspace).await, [1]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_key_is_free_again_when_its_publish_was_refused(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let twice = new_event();
        let gate = hold(&journal).await;
        let bad = append_under(&journal, workspace, vec![twice.clone(), twice], key("bad", 1));
        let good: Vec<_> = (0..20)
            .map(|number| {
                append_under(
                    &journal,
                    workspace,
                    vec![new_event()],
                    key(&format!("k{number}"), 1),
                )
            })
            .collect();
        drop(gate);
        assert_eq!(bad.await.unwrap(), Err(AppendError::Refused));
        for answer in good {
            assert!(!answer.await.unwrap().unwrap().replayed);
        }
        let now_good = append_under(&journal, workspace, vec![new_event()], key("bad", 2)).await;
        assert!(!now_good.unwrap().unwrap().replayed);
        assert_eq!(stored_keys(&journal).await, 21);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_key_of_yesterday_is_replaced_or_deleted(scratch: Scratch) {
        let journal = scratch.open().await;
        // The next pass comes a minute later.
        journal.first_pass().await;
        let workspace = scratch.workspace();
        let publish = |name, body| append_under(&journal, workspace, vec![new_event()], key(name, body));
        for name in ["replaced", "deleted"] {
            publish(name, 1).await.unwrap().unwrap();
        }
        let day = 24 * 60 * 60 * 1000;
        execute_directly(
            &journal,
            format!("UPDATE publish_idempotency_key SET created_at = created_at - {day}"),
        )
        .await;
        assert!(!publish("replaced", 2).await.unwrap().unwrap().replayed);
        assert!(publish("replaced", 2).await.unwrap().unwrap().replayed);
        assert_eq!(stored_keys(&journal).await, 2);
        journal.stop().await;
        let journal = scratch.open().await;
        journal.first_pass().await;
        assert_eq!(stored_keys(&journal).await, 1);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn no_loss_of_the_connection_makes_two_events_under_one_key(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        // Publishers repeat a publish under its key with a new event, as clients do.
        let publishers = (0..8).map(|publisher| {
            let journal = journal.clone();
            async move {
                for number in 0..40 {
                    let name = format!("{publisher}-{number}");
                    while append_under(&journal, workspace, vec![new_event()], key(&name, 1))
                        .await
                        .map(|answer| answer.is_ok())
                        != Ok(true)
                    {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        let cutter = async {
            for _ in 0..5 {
                scratch.cut_connections(&journal).await;
                let elsewhere = scratch.workspace();
                while kit::append(&journal, elsewhere, vec![new_event()])
                    .await
                    .map(|answer| answer.is_ok())
                    != Ok(true)
                {
                    tokio::task::yield_now().await;
                }
            }
        };
        join(join_all(publishers), cutter).await;
        assert_eq!(
            kit::positions(&journal, workspace).await,
            (1..=320).collect::<Vec<i64>>()
        );
        journal.stop().await;
    }
);

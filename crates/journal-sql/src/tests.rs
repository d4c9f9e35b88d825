//! The guarantees of the journal, on both engines.

mod apply;
mod causes;
mod check;
mod corrupt;
mod cut;
mod deletions;
mod derived;
mod due;
mod effects;
mod encoding;
mod erasures;
mod expired;
mod history;
mod key_check;
mod keys;
mod killed_migrations;
pub(crate) mod kit;
mod merged_spans;
mod migrations;
mod outage;
mod plans;
mod readers;
mod retention;
mod settlements;
mod spans;
mod starts;
mod time;

use std::sync::Arc;

use tokio::sync::oneshot;

use self::kit::{OpenJournal, Scratch, new_event, on_both_engines};

use super::{work_guard::WorkGuard, *};
use pointsman_clock::Clock;
use pointsman_journal::*;

use entity::ext_delivery_cursor;
use sea_orm::EntityTrait as _;

use pointsman_domain::event::NewEvent;
use pointsman_domain::{
    attempt::{AttemptOutcome, DeadLetterReason, DeliveryKind},
    event_pattern::EventPattern,
    handler_name::HandlerName,
    id::{DeadLetterId, EventId, InstallationId, SubscriptionId, WorkspaceId},
    installation::{InstallationChange, InstallationUpdate},
    lane::{DeliveryKey, GivenUp, ParkedRetry},
    seq::Seq,
    span::is_due,
    timestamp::Timestamp,
};

on_both_engines!(
    async fn an_acknowledged_event_can_be_read_and_places_are_gapless(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspaces = [scratch.workspace(), scratch.workspace()];
        let mut answers = Vec::new();
        for number in 0..700 {
            answers.push(kit::append(&journal, workspaces[number % 2], vec![new_event()]));
        }
        for answer in answers {
            assert_eq!(answer.await.unwrap().map(drop), Ok(()));
        }
        for workspace in workspaces {
            assert_eq!(
                kit::positions(&journal, workspace).await,
                (1..=350).collect::<Vec<i64>>()
            );
        }
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_batch_of_one_publisher_has_contiguous_places(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let answers: Vec<_> = (0..20)
            .map(|_| kit::append(&journal, workspace, vec![new_event(), new_event(), new_event()]))
            .collect();
        for answer in answers {
            assert_eq!(answer.await.unwrap().map(drop), Ok(()));
        }
        assert_eq!(kit::positions(&journal, workspace).await.len(), 60);
        for committed in scratch.committed(&journal).await {
            assert_eq!(
                committed.len() % 3,
                0,
                "a publisher's events are in one transaction"
            );
        }
        journal.stop().await;
    }
);

on_both_engines!(
    async fn every_byte_of_an_event_comes_back(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let event = NewEvent {
            schema_version: Some("1.0".into()),
            actor: Some("użytkownik 🚂".into()),
            payload: "{ \"b\":5000.00,\t\"a\" : [1e3, -0.0, \"\\u0000\\ud83d\"],\n\"b\":2 }".into(),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            ..new_event()
        };
        kit::append(&journal, workspace, vec![event.clone()])
            .await
            .unwrap()
            .unwrap();
        let read = &journal.page(workspace, Seq::ZERO, Seq::new(9), 10).await.unwrap()[0];
        assert_eq!(*read.payload, *event.payload);
        assert_eq!(
            (read.id, read.seq, &read.event_key),
            (event.id, Seq::new(1), &event.event_key)
        );
        assert_eq!(
            (&read.schema_version, &read.actor),
            (&event.schema_version, &event.actor)
        );
        assert_eq!(
            (read.occurred_at, &read.traceparent),
            (event.occurred_at, &event.traceparent)
        );
        journal.stop().await;
    }
);

on_both_engines!(
    async fn only_the_culprit_of_a_batch_is_refused(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        // One append with the same event twice: ids are unique in the log, so that the database refuses it.
        let poison = new_event();
        let mut answers = Vec::new();
        for number in 0..101 {
            let events = if number == 50 {
                vec![poison.clone(), poison.clone()]
            } else {
                vec![new_event()]
            };
            answers.push(kit::append(&journal, workspace, events));
        }
        for (number, answer) in answers.into_iter().enumerate() {
            let expected = if number == 50 {
                Err(AppendError::Refused)
            } else {
                Ok(())
            };
            assert_eq!(answer.await.unwrap().map(drop), expected, "append {number}");
        }
        assert_eq!(
            kit::positions(&journal, workspace).await,
            (1..=100).collect::<Vec<i64>>()
        );
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_event_sent_twice_is_recorded_once_and_acknowledged_twice(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let event = new_event();
        assert_eq!(
            kit::append(&journal, workspace, vec![event.clone()])
                .await
                .unwrap()
                .map(drop),
            Ok(())
        );
        assert_eq!(
            kit::append(&journal, workspace, vec![event])
                .await
                .unwrap()
                .map(drop),
            Ok(())
        );
        assert_eq!(kit::positions(&journal, workspace).await, [1]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn places_go_on_after_a_restart(scratch: Scratch) {
        let workspace = scratch.workspace();
        for expected in 1..=3 {
            let journal = scratch.open().await;
            kit::append(&journal, workspace, vec![new_event()])
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                kit::positions(&journal, workspace).await,
                (1..=expected).collect::<Vec<i64>>()
            );
            journal.stop().await;
        }
    }
);

on_both_engines!(
    async fn a_second_process_is_refused(scratch: Scratch) {
        let journal = scratch.open().await;
        let refused = scratch.try_open(scratch.settings()).await;
        assert!(matches!(refused, Err(OpenError::Claimed)), "{refused:?}");
        journal.stop().await;
        scratch.open().await.stop().await;
    }
);

on_both_engines!(
    async fn what_is_due_is_decided_at_the_place_of_the_change(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        let subscription_id = SubscriptionId::new(Clock.new_uuid());
        let pattern = EventPattern::parse("a.*").unwrap();
        let publish = async || {
            kit::append(&journal, workspace, vec![new_event()])
                .await
                .unwrap()
                .unwrap()
        };
        let change = async |change| {
            journal
                .change_installation(workspace, installation, change)
                .await
                .unwrap()
        };
        let enabled = |enabled| {
            InstallationChange::Update(InstallationUpdate {
                enabled: Some(enabled),
                ..Default::default()
            })
        };
        publish().await; // 1: not subscribed
        change(InstallationChange::Subscribe {
            subscription_id,
            pattern,
        })
        .await;
        publish().await; // 2: due
        change(enabled(false)).await;
        publish().await; // 3: disabled
        change(enabled(true)).await;
        publish().await; // 4: due
        change(InstallationChange::Unsubscribe { subscription_id }).await;
        publish().await; // 5: not subscribed
        change(enabled(false)).await;
        let view = change(enabled(true)).await;
        publish().await; // 6: an ended subscription is not opened again
        let key = new_event().event_key;
        let due: Vec<i64> = (1..=6)
            .filter(|seq| is_due(&view.spans, Seq::new(*seq), &key))
            .collect();
        assert_eq!(due, [2, 4]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_key_is_installed_once_until_it_is_uninstalled(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        let again = journal.install(workspace, kit::new_installation("crm")).await;
        assert!(matches!(again, Err(ChangeError::Conflict(_))), "{again:?}");
        journal
            .install(scratch.workspace(), kit::new_installation("crm"))
            .await
            .unwrap();
        journal
            .change_installation(workspace, installation, InstallationChange::Uninstall)
            .await
            .unwrap();
        journal
            .install(workspace, kit::new_installation("crm"))
            .await
            .unwrap();
        let gone = journal
            .change_installation(workspace, installation, InstallationChange::Uninstall)
            .await;
        assert!(matches!(gone, Err(ChangeError::NotFound(_))), "{gone:?}");
        let (_, views) = journal.load(workspace).await.unwrap();
        assert_eq!(views.len(), 2, "the uninstalled one still has to be closed");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_lost_connection_is_replaced_and_nothing_is_recorded_twice(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let elsewhere = scratch.workspace();
        // Publishers that behave as a router: an unanswered or refused event is sent again with its id.
        let publishers = (0..8).map(|_| {
            let journal = journal.clone();
            async move {
                for _ in 0..50 {
                    let event = new_event();
                    while kit::append(&journal, workspace, vec![event.clone()])
                        .await
                        .map(|answer| answer.map(drop))
                        != Ok(Ok(()))
                    {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        let cutter = async {
            for _ in 0..5 {
                scratch.cut_connections(&journal).await;
                let event = new_event();
                while kit::append(&journal, elsewhere, vec![event.clone()])
                    .await
                    .map(|answer| answer.map(drop))
                    != Ok(Ok(()))
                {
                    tokio::task::yield_now().await;
                }
            }
        };
        futures_util::future::join(futures_util::future::join_all(publishers), cutter).await;
        assert_eq!(
            kit::positions(&journal, workspace).await,
            (1..=400).collect::<Vec<i64>>()
        );
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_unknown_outcome_is_resolved_by_the_ids_of_its_events(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let connection = scratch
            .settings()
            .url
            .writer("test", &WorkGuard::new(Clock))
            .await
            .unwrap();
        let (recorded, missing) = (new_event(), new_event());
        kit::append(&journal, workspace, vec![recorded.clone()])
            .await
            .unwrap()
            .unwrap();
        let found = recovery::positions_of(&connection, &[recorded.id, missing.id]).await;
        let positions: Vec<_> = found.unwrap().into_iter().collect();
        assert_eq!(positions, [(recorded.id, Seq::new(1))]);
        connection.close().await.unwrap();
        journal.stop().await;
    }
);

//! Corrupt rows never block the rows behind them.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbBackend};

use super::{kit::execute_directly, *};
use pointsman_domain::id::EventId;
use pointsman_journal::DueRow;

/// The id as a literal in the engine's SQL.
pub(super) fn literal(journal: &OpenJournal, id: uuid::Uuid) -> String {
    match journal.reader().get_database_backend() {
        DbBackend::Sqlite => format!("x'{}'", id.simple()),
        _ => format!("'{id}'"),
    }
}

async fn publish(journal: &OpenJournal, workspace: WorkspaceId, count: usize) -> Vec<EventId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let event = new_event();
        ids.push(event.id);
        kit::append(journal, workspace, vec![event])
            .await
            .unwrap()
            .unwrap();
    }
    ids
}

pub(super) async fn park(
    journal: &OpenJournal,
    (workspace, installation): (WorkspaceId, InstallationId),
    events: &[(EventId, i64)],
) {
    let generation = journal.attach(installation).await.unwrap().generation;
    kit::settle(
        journal,
        workspace,
        installation,
        generation,
        Seq::ZERO,
        |command| {
            for (event_id, seq) in events {
                command.park.push(ParkedRetry {
                    key: DeliveryKey {
                        kind: DeliveryKind::Live,
                        event_id: *event_id,
                        handler: pointsman_domain::handler_name::HandlerName::WHOLE,
                    },
                    seq: Seq::new(*seq),
                    attempts: 1,
                    next_attempt_at: Timestamp::from_millis(5),
                    last_error: None,
                    last_status: None,
                });
            }
        },
    )
    .await
    .unwrap();
}

on_both_engines!(
    async fn an_event_that_is_not_json_is_marked_and_its_neighbours_are_read(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        publish(&journal, workspace, 4).await;
        execute_directly(
            &journal,
            "UPDATE platform_event SET payload = '{\"a\":' WHERE seq = 2",
        )
        .await;
        execute_directly(
            &journal,
            "UPDATE platform_event SET event_key = 'no key!' WHERE seq = 3",
        )
        .await;
        for _ in 0..3 {
            let page = journal.page(workspace, Seq::ZERO, Seq::new(9), 10).await.unwrap();
            let defects: Vec<bool> = page.iter().map(|event| event.defect.is_some()).collect();
            assert_eq!(defects, [false, true, true, false]);
            assert_eq!(*page[1].payload, *"{\"a\":", "what can be read is kept");
        }
        assert_eq!(journal.corrupt_rows(), 2, "once per row, not per read");
        journal.stop().await;
    }
);

#[tokio::test]
async fn on_sqlite_a_column_of_the_wrong_type_is_a_defect() {
    let scratch = Scratch::sqlite();
    let journal = scratch.open().await;
    let workspace = scratch.workspace();
    publish(&journal, workspace, 3).await;
    execute_directly(
        &journal,
        "UPDATE platform_event SET payload = x'ff' WHERE seq = 1",
    )
    .await;
    execute_directly(
        &journal,
        "UPDATE platform_event SET occurred_at = 'noon', id = x'01' WHERE seq = 2",
    )
    .await;
    let page = journal.page(workspace, Seq::ZERO, Seq::new(9), 10).await.unwrap();
    let defects: Vec<bool> = page.iter().map(|event| event.defect.is_some()).collect();
    assert_eq!(defects, [true, true, false]);
    assert_eq!(*page[0].payload, *"{}");
    journal.stop().await;
}

on_both_engines!(
    async fn a_retry_whose_event_or_letter_is_gone_comes_with_a_stand_in(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        let ids = publish(&journal, workspace, 3).await;
        park(
            &journal,
            (workspace, installation),
            &[(ids[0], 1), (ids[1], 2), (ids[2], 3)],
        )
        .await;
        execute_directly(&journal, "DELETE FROM platform_event WHERE seq = 1").await;
        let letter = literal(&journal, Clock.new_uuid());
        execute_directly(
            &journal,
            format!("UPDATE ext_delivery_retry SET kind = 'REPLAY', dead_letter_id = {letter} WHERE seq = 2"),
        )
        .await;
        execute_directly(
            &journal,
            "UPDATE ext_delivery_retry SET attempts = -7 WHERE seq = 3",
        )
        .await;
        let due = Timestamp::from_millis(5);
        let (rows, next) = journal
            .due_retries(workspace, installation, due, 10)
            .await
            .unwrap();
        assert_eq!(next, None);
        let seen: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.event.seq.get(),
                    row.event.event_key.as_str(),
                    row.event.defect.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (1, "lost.event", Some("the event is gone from the log")),
                (2, "lost.event", Some("the dead letter to be replayed is gone")),
                (3, "a.b", None),
            ]
        );
        assert_eq!(rows[2].attempts, 0);
        assert_eq!(journal.corrupt_rows(), 3);

        // The lane ends the replay of a missing letter as it ends any other replay.
        let generation = journal.attach(installation).await.unwrap().generation;
        let ended = kit::settle(
            &journal,
            workspace,
            installation,
            generation,
            Seq::ZERO,
            |command| {
                let row = &rows[1];
                let given_up = GivenUp {
                    key: row.key,
                    event: Arc::clone(&row.event),
                    settled: Seq::ZERO,
                    reason: DeadLetterReason::Corrupt,
                    attempts: 1,
                    last_status: None,
                    last_error: None,
                    dead_letter_id: row.dead_letter_id,
                };
                let id = row.dead_letter_id.unwrap();
                command.letters.push(kit::letter_of(id, given_up, Clock.now()));
            },
        );
        assert_eq!(ended.await, Ok(()));
        let (rows, _) = journal
            .due_retries(workspace, installation, due, 10)
            .await
            .unwrap();
        assert_eq!(rows.len(), 2, "its row is removed");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_retry_of_a_kind_that_nobody_knows_is_left_alone(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        let ids = publish(&journal, workspace, 2).await;
        park(&journal, (workspace, installation), &[(ids[0], 1), (ids[1], 2)]).await;
        execute_directly(
            &journal,
            "UPDATE ext_delivery_retry SET kind = 'JOB' WHERE seq = 1",
        )
        .await;
        let due = Timestamp::from_millis(5);
        for _ in 0..2 {
            journal.attach(installation).await.unwrap();
            let (rows, next) = journal
                .due_retries(workspace, installation, due, 1)
                .await
                .unwrap();
            assert_eq!((rows.len(), rows[0].event.id, next), (1, ids[1], None));
        }
        assert_eq!(journal.corrupt_rows(), 1);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_cursor_beyond_the_head_goes_back_to_it_before_anything_is_appended(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        publish(&journal, workspace, 3).await;
        execute_directly(&journal, "UPDATE ext_delivery_cursor SET settled_seq = 1000").await;
        journal.stop().await;
        let journal = scratch.open().await;
        assert_eq!(journal.corrupt_rows(), 0, "a start reads no cursors");
        publish(&journal, workspace, 1).await;
        assert_eq!(journal.corrupt_rows(), 1);
        let attachment = journal.attach(installation).await.unwrap().attachment;
        assert_eq!((attachment.settled, attachment.head), (Seq::new(3), Seq::new(4)));
        execute_directly(&journal, "UPDATE ext_delivery_cursor SET settled_seq = 1000").await;
        let attachment = journal.attach(installation).await.unwrap().attachment;
        assert_eq!(attachment.settled, Seq::new(4), "also while it runs");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn a_missing_cursor_starts_where_the_installation_began(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        publish(&journal, workspace, 2).await;
        let installation = journal
            .install(workspace, kit::new_installation("crm"))
            .await
            .unwrap()
            .id();
        publish(&journal, workspace, 2).await;
        execute_directly(&journal, "DELETE FROM ext_delivery_cursor").await;
        let attached = journal.attach(installation).await.unwrap();
        assert_eq!(attached.attachment.settled, Seq::new(2));
        let moved = kit::settle(
            &journal,
            workspace,
            installation,
            attached.generation,
            Seq::new(4),
            |_| (),
        );
        assert_eq!(moved.await, Ok(()));
        assert_eq!(journal.corrupt_rows(), 1);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_attach_that_cannot_be_answered_leaves_the_connection_alone(scratch: Scratch) {
        let journal = scratch.open().await;
        let nobody = InstallationId::new(Clock.new_uuid());
        assert!(journal.attach(nobody).await.is_err());
        assert!(journal.storage_state().is_ok(), "publishers of others go on");
        let answer = kit::append(&journal, scratch.workspace(), vec![new_event()]);
        assert!(answer.await.unwrap().is_ok());
        journal.stop().await;
    }
);

on_both_engines!(
    async fn the_waker_finds_a_workspace_whose_cursor_is_missing(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        let subscribe = InstallationChange::Subscribe {
            subscription_id: SubscriptionId::new(Clock.new_uuid()),
            pattern: EventPattern::parse("a.*").unwrap(),
        };
        journal
            .change_installation(workspace, installation, subscribe)
            .await
            .unwrap();
        let next_work = async || journal.next_work(vec![workspace]).await.unwrap();
        assert!(next_work().await.is_empty());
        let now = HashMap::from([(workspace, DueRow::AT_ONCE)]);
        publish(&journal, workspace, 1).await;
        assert_eq!(next_work().await, now);
        execute_directly(&journal, "DELETE FROM ext_delivery_cursor").await;
        assert_eq!(next_work().await, now);
        journal.stop().await;
    }
);

//! The storage fails: every caller gets an error within a bounded time, and no settlement is lost.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend};
use tokio::time::timeout;

use super::{kit::execute_directly, *};
use crate::claim;

fn is_sqlite(journal: &OpenJournal) -> bool {
    journal.reader().get_database_backend() == DbBackend::Sqlite
}

/// Takes a lock that blocks every write until the transaction ends.
async fn lock(scratch: &Scratch, journal: &OpenJournal) -> DatabaseConnection {
    let client = scratch.client().await;
    let sql = if is_sqlite(journal) {
        "BEGIN IMMEDIATE"
    } else {
        "BEGIN; LOCK TABLE platform_event, ext_delivery_cursor IN ACCESS EXCLUSIVE MODE"
    };
    client.execute_unprepared(sql).await.unwrap();
    client
}

on_both_engines!(
    async fn a_database_that_hangs_is_reported_in_time_and_settlements_wait_for_it(scratch: Scratch) {
        let journal = scratch.open().await;
        let (workspace, installation) = scratch.installed(&journal, "crm").await;
        kit::append_when_it_is_back(&journal, workspace).await;
        let generation = journal.attach(installation).await.unwrap().generation;
        let client = lock(&scratch, &journal).await;

        let first = kit::append(&journal, workspace, vec![new_event()]);
        let first = timeout(Duration::from_secs(9), first).await;
        assert_eq!(
            first.unwrap().unwrap(),
            Err(AppendError::Storage(StorageUnavailable))
        );
        let trouble = journal.storage_state().unwrap_err();
        if is_sqlite(&journal) {
            assert_eq!(trouble, StorageTrouble::Locked);
        } else {
            assert!(matches!(trouble, StorageTrouble::Unreachable(_)), "{trouble}");
        }
        let next = kit::append(&journal, workspace, vec![new_event()]);
        let next = timeout(Duration::from_secs(1), next)
            .await
            .expect("refused at once");
        assert_eq!(next.unwrap(), Err(AppendError::Storage(StorageUnavailable)));
        if !is_sqlite(&journal) {
            let read = journal.page(workspace, Seq::ZERO, Seq::new(9), 9);
            assert!(timeout(Duration::from_secs(7), read).await.unwrap().is_err());
        }

        let settled = kit::settle(&journal, workspace, installation, generation, Seq::new(1), |_| ());
        let unlocked = async {
            client.execute_unprepared("ROLLBACK").await.unwrap();
            client.close().await.unwrap();
        };
        let (settled, ()) = futures_util::future::join(settled, unlocked).await;
        assert_eq!(settled, Ok(()));
        kit::append_when_it_is_back(&journal, workspace).await;
        assert_eq!(journal.storage_state(), Ok(()));
        assert_eq!(kit::positions(&journal, workspace).await, [1, 2]);
        journal.stop().await;
    }
);

/// Makes the next transaction with events fail as it does on a full or a read-only disk.
async fn break_the_disk(scratch: &Scratch, journal: &OpenJournal, read_only: bool) {
    if is_sqlite(journal) {
        let sql = if read_only {
            "PRAGMA query_only = on"
        } else {
            "PRAGMA max_page_count = 1"
        };
        // Only on the writer's connection; the one that replaces it works.
        return execute_directly(journal, sql).await;
    }
    let code = if read_only { "25006" } else { "53100" };
    let client = scratch.client().await;
    let sql = format!(
        "CREATE FUNCTION no_room() RETURNS TRIGGER AS $$ BEGIN RAISE EXCEPTION 'no room' \
         USING ERRCODE = '{code}'; END $$ \
         LANGUAGE plpgsql; CREATE TRIGGER no_room BEFORE INSERT ON platform_event EXECUTE FUNCTION no_room()"
    );
    client.execute_unprepared(&sql).await.unwrap();
    client.close().await.unwrap();
}

async fn mend_the_disk(scratch: &Scratch, journal: &OpenJournal) {
    if !is_sqlite(journal) {
        let client = scratch.client().await;
        client
            .execute_unprepared("DROP TRIGGER no_room ON platform_event")
            .await
            .unwrap();
        client.close().await.unwrap();
    }
}

async fn events_are_refused_and_settlements_are_kept(scratch: Scratch, read_only: bool) {
    let journal = scratch.open().await;
    let (workspace, installation) = scratch.installed(&journal, "crm").await;
    kit::append_when_it_is_back(&journal, workspace).await;
    let generation = journal.attach(installation).await.unwrap().generation;
    break_the_disk(&scratch, &journal, read_only).await;
    let mut large = new_event();
    large.payload = format!("{{\"a\":\"{}\"}}", "x".repeat(200_000)).into();
    let refused = kit::append(&journal, workspace, vec![large]);
    let settled = kit::settle(&journal, workspace, installation, generation, Seq::new(1), |_| ());
    let answer = refused.await.unwrap();
    let mut expected = vec![1, 2];
    if is_sqlite(&journal) {
        // It is written again, on the new connection.
        assert!(answer.is_ok(), "{answer:?}");
        expected.push(3);
    } else {
        assert_eq!(
            answer,
            Err(AppendError::Storage(StorageUnavailable)),
            "once more and no oftener"
        );
    }
    mend_the_disk(&scratch, &journal).await;
    assert_eq!(settled.await, Ok(()), "not refused, but written later");
    kit::append_when_it_is_back(&journal, workspace).await;
    assert_eq!(kit::positions(&journal, workspace).await, expected);
    journal.stop().await;
}

on_both_engines!(
    async fn on_a_full_disk_events_are_refused_and_settlements_are_kept(scratch: Scratch) {
        events_are_refused_and_settlements_are_kept(scratch, false).await;
    }
);

on_both_engines!(
    async fn on_a_read_only_database_events_are_refused_and_settlements_are_kept(scratch: Scratch) {
        events_are_refused_and_settlements_are_kept(scratch, true).await;
    }
);

#[tokio::test]
async fn below_the_watermark_events_are_refused_and_the_rest_goes_on() {
    let scratch = Scratch::sqlite();
    let journal = scratch.open().await;
    let (workspace, installation) = scratch.installed(&journal, "crm").await;
    kit::append_when_it_is_back(&journal, workspace).await;
    journal.stop().await;
    let settings = JournalSettings {
        min_free_bytes: u64::MAX / 2,
        ..scratch.settings()
    };
    let journal = scratch.open_with(settings).await;
    let refused = kit::append(&journal, workspace, vec![new_event()]).await;
    assert_eq!(refused.unwrap(), Err(AppendError::Storage(StorageUnavailable)));
    let trouble = journal.storage_state().unwrap_err();
    assert!(matches!(trouble, StorageTrouble::DiskFull { .. }), "{trouble}");
    let generation = journal.attach(installation).await.unwrap().generation;
    let settled = kit::settle(&journal, workspace, installation, generation, Seq::new(1), |_| ());
    assert_eq!(settled.await, Ok(()));
    journal.stop().await;
}

#[tokio::test]
async fn a_lost_connection_that_lives_on_at_the_server_loses_the_claim_there() {
    let url = Scratch::postgres().await.settings().url;
    let lost = url.writer("ours", &WorkGuard::new(Clock)).await.unwrap();
    claim::take_at_start(&lost).await.unwrap();
    lost.execute_unprepared("CREATE TABLE doubt (id INTEGER); BEGIN; INSERT INTO doubt VALUES (1)")
        .await
        .unwrap();
    let other = url
        .writer("another process", &WorkGuard::new(Clock))
        .await
        .unwrap();
    let refused = claim::take_over(&other, "another process").await;
    assert!(matches!(refused, Err(OpenError::Claimed)), "{refused:?}");

    let next = url.writer("ours", &WorkGuard::new(Clock)).await.unwrap();
    claim::take_over(&next, "ours").await.unwrap();
    assert!(
        lost.execute_unprepared("COMMIT").await.is_err(),
        "its transaction is over"
    );
}

#[tokio::test]
async fn who_waits_for_the_end_of_a_journal_that_panics_hears_of_it() {
    let scratch = Scratch::sqlite();
    let sink = Box::new(|_| panic!("a defect in the router's notices"));
    let journal = crate::open(scratch.settings(), sink, Clock)
        .await
        .unwrap()
        .journal;
    let answer = kit::append(&journal, scratch.workspace(), vec![new_event()]);
    timeout(Duration::from_secs(9), journal.ended()).await.unwrap();
    // The event was durable before the notice. Its publisher may get the answer or none.
    let _ = answer.await;
    let later = kit::append(&journal, scratch.workspace(), vec![new_event()]);
    assert!(later.await.is_err(), "the reply is dropped");
}

on_both_engines!(
    async fn a_change_that_panics_is_rolled_back_and_nothing_else_notices(scratch: Scratch) {
        let journal = scratch.open().await;
        let workspace = scratch.workspace();
        let change: Result<(), _> = journal
            .write(|transaction| {
                Box::pin(async move {
                    transaction
                        .execute_unprepared("DELETE FROM ext_installation")
                        .await?;
                    panic!("a defect in a change")
                })
            })
            .await;
        assert!(change.is_err());
        assert!(
            kit::append(&journal, workspace, vec![new_event()])
                .await
                .unwrap()
                .is_ok()
        );
        assert_eq!(journal.storage_state(), Ok(()));
        journal.stop().await;
    }
);

//! What has expired is deleted.

use sea_orm::{ConnectionTrait, Statement};

use super::kit::{OpenJournal, Scratch, append_under, execute_directly, key, new_event, on_both_engines};

async fn count(journal: &OpenJournal, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) AS number FROM {table}");
    let statement = Statement::from_string(journal.reader().get_database_backend(), sql);
    let row = journal.reader().query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "number").unwrap()
}

on_both_engines!(
    async fn keys_and_sessions_that_have_expired_are_deleted_and_no_others(scratch: Scratch) {
        const NUMBERS: &str =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)";
        let journal = scratch.open().await;
        let append = append_under(&journal, scratch.workspace(), vec![new_event()], key("kept", 1));
        append.await.unwrap().unwrap();
        for rows in [
            "INSERT INTO publish_idempotency_key (workspace_id, key, body_sha256, event_ids, created_at) \
             SELECT workspace_id, 'expired' || i, body_sha256, event_ids, i FROM publish_idempotency_key, n",
            "INSERT INTO user_session (id, user_id, state, created_at, expires_at) \
             SELECT 'expired' || i, NULL, '{}', 0, i FROM n",
            "INSERT INTO user_session (id, user_id, state, created_at, expires_at) \
             VALUES ('kept', NULL, '{}', 0, 9000000000000000)",
        ] {
            execute_directly(&journal, format!("{NUMBERS} {rows}")).await;
        }
        journal.stop().await;
        let journal = scratch.open().await;
        journal.first_pass().await;
        assert_eq!(count(&journal, "publish_idempotency_key").await, 1);
        assert_eq!(count(&journal, "user_session").await, 1);
        journal.stop().await;
    }
);

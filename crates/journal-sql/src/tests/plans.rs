//! The queries of a start and of a lane use indexes, whatever the length of the backlog.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use super::*;
use crate::{attach, due, reads, sql::numbered};

/// The plan of the statement, one step per line. Sequential scans and sorts are disabled on PostgreSQL, so that a plan
/// has one only where no index can replace it.
pub(super) async fn plan(journal: &OpenJournal, sql: &str, values: Vec<Value>) -> String {
    let sqlite = journal.reader().get_database_backend() == DbBackend::Sqlite;
    let statement =
        |sql: &str| Statement::from_sql_and_values(journal.reader().get_database_backend(), sql, values);
    if sqlite {
        let rows = journal
            .reader()
            .query_all_raw(statement(&format!("EXPLAIN QUERY PLAN {sql}")))
            .await
            .unwrap();
        let lines: Vec<String> = rows
            .iter()
            .map(|row| row.try_get("", "detail").unwrap())
            .collect();
        return lines.join("\n");
    }
    let statement = statement(&format!("EXPLAIN {sql}"));
    journal
        .write(move |transaction| {
            Box::pin(async move {
                for off in ["enable_seqscan", "enable_sort", "enable_bitmapscan"] {
                    transaction
                        .execute_unprepared(&format!("SET LOCAL {off} = off"))
                        .await?;
                }
                let rows = transaction.query_all_raw(statement).await?;
                let lines: Vec<String> = rows
                    .iter()
                    .map(|row| row.try_get("", "QUERY PLAN").unwrap())
                    .collect();
                Ok((lines.join("\n"), Vec::new()))
            })
        })
        .await
        .unwrap()
}

pub(super) fn assert_seeks(plan: &str, indexes: &[&str]) {
    for index in indexes {
        assert!(plan.contains(index), "no use of {index}:\n{plan}");
    }
    assert!(!plan.contains("Seq Scan"), "{plan}");
    for line in plan.lines() {
        // Two scans are right: of the page that the inner query has limited, and of the statement's own VALUES.
        let is_page = line == "SCAN v"
            || line.contains("CONSTANT ROW")
            || line.contains("VALUES CLAUSE")
            || (line == "SCAN r" && plan.contains("CO-ROUTINE r"));
        assert!(
            !line.starts_with("SCAN ") || is_page || line.contains("USING"),
            "{plan}"
        );
    }
}

on_both_engines!(
    async fn due_retries_are_read_in_the_order_of_their_index(scratch: Scratch) {
        let journal = scratch.open().await;
        let sql = reads::due_retries_sql(journal.reader().get_database_backend());
        let values = vec![Clock.new_uuid().into(), 5_i64.into(), 10_i64.into()];
        let plan = plan(&journal, &sql, values).await;
        assert_seeks(&plan, &["ext_delivery_retry_due", "platform_event_id"]);
        let sorts = plan.matches("TEMP B-TREE").count();
        assert!(sorts <= 1, "only the page itself may be sorted:\n{plan}");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn an_attach_looks_only_beyond_the_cursor(scratch: Scratch) {
        let journal = scratch.open().await;
        for (select, index) in [
            (attach::PARKED, "ext_delivery_retry_place"),
            (attach::DEAD_LETTERS, "dead_letter_event_place"),
            (attach::EFFECTS_DONE, "ext_delivery_done_place"),
        ] {
            let sql = attach::seqs_beyond_sql(journal.reader().get_database_backend(), select);
            let values = vec![Clock.new_uuid().into(), 5_i64.into()];
            let plan = plan(&journal, &sql, values).await;
            assert_seeks(&plan, &[index]);
        }
        journal.stop().await;
    }
);

on_both_engines!(
    async fn the_first_append_to_a_workspace_reads_the_cursors_of_this_one_alone(scratch: Scratch) {
        let journal = scratch.open().await;
        let sql = attach::cursors_beyond_sql(journal.reader().get_database_backend());
        let values = vec![Clock.new_uuid().into(), 5_i64.into()];
        let plan = plan(&journal, &sql, values).await;
        assert_seeks(&plan, &["ext_delivery_cursor_workspace"]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn the_waker_looks_at_the_installations_of_the_workspaces_of_its_page_alone(scratch: Scratch) {
        let journal = scratch.open().await;
        let backend = journal.reader().get_database_backend();
        let workspaces = [scratch.workspace(), scratch.workspace()];
        let statement = due::next_work_statements(&workspaces, Duration::from_secs(1), backend).remove(0);
        let values = statement.values.map(|values| values.0).unwrap_or_default();
        let plan = plan(&journal, &statement.sql, values).await;
        assert!(!plan.contains("SCAN i"), "{plan}");
        assert_seeks(
            &plan,
            &[
                "ext_installation_open",
                "ext_delivery_retry_due",
                "ext_event_subscription_installation",
            ],
        );
        journal.stop().await;
    }
);

on_both_engines!(
    async fn the_waker_reads_what_is_due_in_the_order_of_its_index(scratch: Scratch) {
        let journal = scratch.open().await;
        let sql = due::page_sql(journal.reader().get_database_backend());
        let values = vec![0_i64.into(), Clock.new_uuid().into(), 5_i64.into(), 10_i64.into()];
        let plan = plan(&journal, &sql, values).await;
        assert_seeks(&plan, &["workspace_due_at"]);
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        journal.stop().await;
    }
);

on_both_engines!(
    async fn the_removal_of_a_retry_finds_it_by_its_key(scratch: Scratch) {
        let journal = scratch.open().await;
        let backend = journal.reader().get_database_backend();
        let [first, second, third, fourth] = numbered(backend);
        let sql = format!(
            "DELETE FROM ext_delivery_retry WHERE (installation_id, kind, event_id, handler) IN \
             (VALUES ({first},{second},{third},{fourth}) )"
        );
        let values = vec![
            Clock.new_uuid().into(),
            "LIVE".into(),
            Clock.new_uuid().into(),
            "deal_closed".into(),
        ];
        let plan = plan(&journal, &sql, values).await;
        let key = if backend == DbBackend::Sqlite {
            "PRIMARY KEY"
        } else {
            "ext_delivery_retry_pkey"
        };
        assert_seeks(&plan, &[key]);
        journal.stop().await;
    }
);

on_both_engines!(
    async fn letters_and_marks_are_found_by_their_keys(scratch: Scratch) {
        let journal = scratch.open().await;
        let installation = InstallationId::new(Clock.new_uuid());
        let changes = pointsman_journal::changes::Changes {
            replayed: vec![(DeadLetterId::new(Clock.new_uuid()), Clock.now())],
            swept: vec![(installation, Seq::new(7)), (installation, Seq::new(8))],
            ..Default::default()
        };
        let backend = journal.reader().get_database_backend();
        let keys: [&[&str]; 2] = match backend {
            DbBackend::Sqlite => [
                &["sqlite_autoindex_dead_letter_event_1"],
                &["ext_delivery_done_place"],
            ],
            _ => [&["dead_letter_event_pkey"], &["ext_delivery_done_place"]],
        };
        for (statement, keys) in crate::apply::statements(&changes, backend).into_iter().zip(keys) {
            let values = statement.values.map(|values| values.0).unwrap_or_default();
            let plan = plan(&journal, &statement.sql, values).await;
            assert_seeks(&plan, keys);
        }
        journal.stop().await;
    }
);

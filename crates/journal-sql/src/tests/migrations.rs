//! The migrations keep the data of an earlier version.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use uuid::Uuid;

use super::*;

/// A database as the first `steps` migrations leave it.
pub(super) async fn database(scratch: &Scratch, steps: u32) -> DatabaseConnection {
    let url = scratch.settings().url;
    if let Some(folder) = url.file().as_deref().and_then(std::path::Path::parent) {
        std::fs::create_dir_all(folder).unwrap();
    }
    let connection = url.writer("test", &WorkGuard::new(Clock)).await.unwrap();
    Migrator::up(&connection, Some(steps)).await.unwrap();
    connection
}

/// Executes the statement with the ids in place of `{1}`, `{2}`, …, in this order.
pub(super) async fn execute(connection: &DatabaseConnection, sql: &str, ids: &[Uuid]) {
    let backend = connection.get_database_backend();
    let sql = (1..=ids.len()).fold(sql.to_owned(), |sql, number| {
        let placeholder = match backend {
            DbBackend::Sqlite => "?".to_owned(),
            _ => format!("${number}"),
        };
        sql.replace(&format!("{{{number}}}"), &placeholder)
    });
    let values = ids.iter().map(|id| (*id).into()).collect::<Vec<sea_orm::Value>>();
    connection
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await
        .unwrap();
}

/// The first column, as text.
pub(super) async fn read(connection: &DatabaseConnection, sql: &str) -> Vec<String> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get("", "it").unwrap()).collect()
}

pub(super) async fn insert_workspace(connection: &DatabaseConnection, workspace: Uuid, name: &str) {
    let sql = format!("INSERT INTO workspace (id, name, created_at) VALUES ({{1}}, '{name}', 0)");
    execute(connection, &sql, &[workspace]).await;
}

on_both_engines!(
    async fn what_waits_for_its_retry_is_kept_and_is_the_whole_extensions(scratch: Scratch) {
        let connection = database(&scratch, 2).await;
        let (workspace, crm) = (Clock.new_uuid(), Clock.new_uuid());
        for seq in 1..=3 {
            let sql = format!(
                "INSERT INTO ext_delivery_retry (installation_id, kind, event_id, workspace_id, seq, attempts, \
                 next_attempt_at, last_error) VALUES ({{1}}, 'LIVE', {{2}}, {{3}}, {seq}, 2, {seq}000, 'refused')"
            );
            execute(&connection, &sql, &[crm, Clock.new_uuid(), workspace]).await;
        }
        let letter = "INSERT INTO dead_letter_event (id, workspace_id, installation_id, extension_key, event_id, seq, \
                      event_key, payload, occurred_at, reason, attempts, failed_at, status) \
                      VALUES ({1}, {2}, {3}, 'crm', {4}, 4, 'a.b', '{}', 0, 'GONE', 1, 0, 'DEAD')";
        execute(
            &connection,
            letter,
            &[Clock.new_uuid(), workspace, crm, Clock.new_uuid()],
        )
        .await;
        Migrator::up(&connection, None).await.unwrap();
        let retries = "SELECT last_error || attempts || handler AS it FROM ext_delivery_retry ORDER BY seq";
        assert_eq!(read(&connection, retries).await, ["refused2"; 3]);
        let letters = "SELECT reason || handler AS it FROM dead_letter_event";
        assert_eq!(read(&connection, letters).await, ["GONE"]);
        connection.close().await.unwrap();
        let journal = scratch.open().await;
        let (rows, _) = journal
            .due_retries(
                WorkspaceId::new(workspace),
                InstallationId::new(crm),
                Timestamp::from_millis(9_000),
                9,
            )
            .await
            .unwrap();
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| row.key.handler.is_whole()));
        journal.stop().await;
    }
);

on_both_engines!(
    async fn the_history_of_attempts_is_kept(scratch: Scratch) {
        let connection = database(&scratch, 5).await;
        let ids: Vec<Uuid> = (0..5).map(|_| Clock.new_uuid()).collect();
        let [workspace, installation, event, first, second] = ids[..] else {
            unreachable!()
        };
        for (id, number, outcome) in [(first, 1, "TIMEOUT"), (second, 2, "DELIVERED")] {
            let sql = format!(
                "INSERT INTO ext_delivery_attempt (id, workspace_id, installation_id, event_id, handler, kind, number, \
                 outcome, http_status, duration_ms, error, response, attempted_at) \
                 VALUES ({{1}}, {{2}}, {{3}}, {{4}}, 'h', 'LIVE', {number}, '{outcome}', 200, 3, 'e', 'r', {number})"
            );
            execute(&connection, &sql, &[id, workspace, installation, event]).await;
        }
        Migrator::up(&connection, None).await.unwrap();
        let kept = "SELECT number || outcome || http_status || duration_ms || error || response || attempted_at || \
                    handler || kind AS it FROM ext_delivery_attempt ORDER BY id";
        let expected = ["1TIMEOUT2003er1hLIVE", "2DELIVERED2003er2hLIVE"];
        assert_eq!(read(&connection, kept).await, expected);
        connection.close().await.unwrap();
    }
);

on_both_engines!(
    async fn the_last_outcomes_are_carried_over_and_there_is_a_way_back(scratch: Scratch) {
        let connection = database(&scratch, 6).await;
        let (workspace, idle, crm) = (Clock.new_uuid(), Clock.new_uuid(), Clock.new_uuid());
        for installation in [idle, crm] {
            let cursor = "INSERT INTO ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation) \
                          VALUES ({1}, {2}, 7, 1)";
            execute(&connection, cursor, &[installation, workspace]).await;
        }
        for (at, outcome) in [
            (1, "DELIVERED"),
            (2, "TIMEOUT"),
            (3, "HTTP_5XX"),
            (4, "DELIVERED"),
        ] {
            let sql = format!(
                "INSERT INTO ext_delivery_attempt (id, workspace_id, installation_id, event_id, kind, number, outcome, \
                 duration_ms, attempted_at) VALUES ({{1}}, {{2}}, {{3}}, {{4}}, 'LIVE', 1, '{outcome}', 3, {at})"
            );
            execute(
                &connection,
                &sql,
                &[Clock.new_uuid(), workspace, crm, Clock.new_uuid()],
            )
            .await;
        }
        Migrator::up(&connection, None).await.unwrap();
        let carried = "SELECT settled_seq || '-' || COALESCE(last_success_at, 0) || '-' || \
                       COALESCE(last_failure_at, 0) AS it FROM ext_delivery_cursor";
        let mut carried = read(&connection, carried).await;
        carried.sort();
        assert_eq!(carried, ["7-0-0", "7-4-3"]);

        let since = u32::try_from(Migrator::migrations().len() - 6).unwrap();
        Migrator::down(&connection, Some(since)).await.unwrap();
        Migrator::up(&connection, None).await.unwrap();
        connection.close().await.unwrap();
    }
);

on_both_engines!(
    async fn a_demo_that_is_there_gets_chat_once(scratch: Scratch) {
        let connection = database(&scratch, 4).await;
        let (demo, other, later) = (Clock.new_uuid(), Clock.new_uuid(), Clock.new_uuid());
        insert_workspace(&connection, demo, "demo").await;
        insert_workspace(&connection, other, "acme").await;
        insert_workspace(&connection, later, "demo").await;
        let event = "INSERT INTO platform_event (workspace_id, seq, id, event_key, payload, occurred_at) \
                     VALUES ({1}, 1, {2}, 'a.b', '{}', 0)";
        execute(&connection, event, &[demo, Clock.new_uuid()]).await;
        Migrator::up(&connection, None).await.unwrap();
        connection.close().await.unwrap();

        let journal = scratch.open().await;
        let (head, views) = journal.load(WorkspaceId::new(demo)).await.unwrap();
        assert_eq!((head, views.len()), (Seq::new(1), 1));
        let chat = &views[0];
        assert_eq!(chat.installation.key, "chat");
        assert!(chat.is_in_process() && !chat.is_held());
        assert_eq!(chat.settled, Seq::new(1), "it begins at the head of the log");
        assert_eq!(chat.spans.len(), 1);
        assert_eq!(chat.spans[0].pattern.as_str(), "platform.notification");
        assert_eq!(chat.spans[0].from_seq, Seq::new(1));
        for workspace in [other, later] {
            let (_, views) = journal.load(WorkspaceId::new(workspace)).await.unwrap();
            assert!(views.is_empty());
        }
        journal.stop().await;
    }
);

on_both_engines!(
    async fn without_a_demo_nothing_is_installed(scratch: Scratch) {
        let connection = database(&scratch, 4).await;
        Migrator::up(&connection, None).await.unwrap();
        let installed = "SELECT key AS it FROM ext_installation";
        assert!(read(&connection, installed).await.is_empty());
        connection.close().await.unwrap();
    }
);

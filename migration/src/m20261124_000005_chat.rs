//! Messages of the built-in chat extension, and the extension itself in a `demo` workspace that is there already.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement, Value},
};
use uuid::Uuid;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        // Channels are listed in one order on both engines.
        let (uuid, by_bytes) = match manager.get_database_backend() {
            DbBackend::Sqlite => ("BLOB", ""),
            _ => ("UUID", " COLLATE \"C\""),
        };
        for statement in STATEMENTS {
            let sql = statement.replace("{uuid}", uuid).replace("{by_bytes}", by_bytes);
            connection.execute_unprepared(&sql).await?;
        }
        match demo(connection).await? {
            Some(demo) => install(connection, demo).await,
            None => Ok(()),
        }
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE TABLE chat_channel (
         workspace_id {uuid} NOT NULL,
         channel TEXT{by_bytes} NOT NULL,
         messages BIGINT NOT NULL,
         last_message_at BIGINT NOT NULL,
         PRIMARY KEY (workspace_id, channel)
     )",
    "CREATE TABLE chat_message (
         workspace_id {uuid} NOT NULL,
         channel TEXT{by_bytes} NOT NULL,
         id {uuid} NOT NULL,
         message TEXT NOT NULL,
         sender TEXT NOT NULL,
         event_id {uuid} NOT NULL,
         created_at BIGINT NOT NULL,
         PRIMARY KEY (workspace_id, channel, id)
     )",
    "CREATE UNIQUE INDEX chat_message_event ON chat_message (workspace_id, event_id)",
];

/// The oldest workspace with this name, unless something with the key `chat` is installed there.
async fn demo(connection: &SchemaManagerConnection<'_>) -> Result<Option<Uuid>, DbErr> {
    let sql = "SELECT w.id FROM workspace w WHERE w.name = 'demo' AND NOT EXISTS (SELECT 1 FROM ext_installation i \
               WHERE i.workspace_id = w.id AND i.key = 'chat' AND i.uninstalled_at IS NULL) ORDER BY w.id LIMIT 1";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await?;
    row.map(|row| row.try_get("", "id")).transpose()
}

async fn install(connection: &SchemaManagerConnection<'_>, workspace: Uuid) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let (installation, now) = (new_id(), now(backend));
    let head = "(SELECT COALESCE(MAX(e.seq), 0) FROM platform_event e WHERE e.workspace_id = w.id)";
    let id = "{1}";
    let statements: [(String, Vec<Value>); 3] = [
        (
            format!(
                "INSERT INTO ext_installation (id, workspace_id, key, name, delivery_type, signing_secret, headers, \
                 enabled, paused, ordered, revision, installed_at, installed_seq, closed, available) \
                 SELECT {id}, w.id, 'chat', 'Chat', 'IN_PROCESS', '', '', TRUE, FALSE, FALSE, 1, {now}, {head}, \
                 FALSE, TRUE FROM workspace w WHERE w.id = {{2}}"
            ),
            vec![installation.into(), workspace.into()],
        ),
        (
            format!(
                "INSERT INTO ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation) \
                 SELECT {id}, w.id, {head}, 0 FROM workspace w WHERE w.id = {{2}}"
            ),
            vec![installation.into(), workspace.into()],
        ),
        (
            format!(
                "INSERT INTO ext_event_subscription (id, subscription_id, installation_id, workspace_id, event_key, \
                 from_seq, created_at) SELECT {id}, {{2}}, {{3}}, w.id, 'platform.notification', {head}, {now} \
                 FROM workspace w WHERE w.id = {{4}}"
            ),
            vec![
                new_id().into(),
                new_id().into(),
                installation.into(),
                workspace.into(),
            ],
        ),
    ];
    for (sql, values) in statements {
        let sql = numbered(&sql, values.len(), backend);
        connection
            .execute_raw(Statement::from_sql_and_values(backend, sql, values))
            .await?;
    }
    Ok(())
}

/// Milliseconds since 1970, as the database tells the time.
fn now(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "(CAST(strftime('%s', 'now') AS INTEGER) * 1000)",
        _ => "CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT)",
    }
}

/// Writes `{1}`, `{2}`, … as the engine wants them; they stand in this order.
fn numbered(sql: &str, count: usize, backend: DbBackend) -> String {
    (1..=count).fold(sql.to_owned(), |sql, number| {
        let placeholder = match backend {
            DbBackend::Sqlite => "?".to_owned(),
            _ => format!("${number}"),
        };
        sql.replace(&format!("{{{number}}}"), &placeholder)
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a migration has no clock; an id that says when it was made is all it needs"
)]
fn new_id() -> Uuid {
    Uuid::now_v7()
}

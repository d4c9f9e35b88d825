//! Messages of the built-in chat extension, and the extension itself in a `demo` workspace that is there already.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DbBackend, Statement, Value},
};
use uuid::Uuid;

use crate::half_done;

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
            half_done::execute(connection, &sql).await?;
        }
        if let Some(installation) = half_installed(connection).await? {
            return attach(connection, installation).await;
        }
        match demo(connection).await? {
            Some(demo) => install(connection, demo).await,
            None => Ok(()),
        }
    }

    /// On SQLite, too: a kill leaves all of it or nothing.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
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

/// The chat of a `demo` workspace that has no subscription: an earlier version was killed between the statements of
/// [`install`].
async fn half_installed(connection: &SchemaManagerConnection<'_>) -> Result<Option<Uuid>, DbErr> {
    let sql = "SELECT i.id FROM ext_installation i JOIN workspace w ON w.id = i.workspace_id WHERE w.name = 'demo' \
               AND i.key = 'chat' AND i.delivery_type = 'IN_PROCESS' AND i.uninstalled_at IS NULL AND NOT EXISTS \
               (SELECT 1 FROM ext_event_subscription s WHERE s.installation_id = i.id) ORDER BY i.id LIMIT 1";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await?;
    row.map(|row| row.try_get("", "id")).transpose()
}

const HEAD: &str = "(SELECT COALESCE(MAX(e.seq), 0) FROM platform_event e WHERE e.workspace_id = w.id)";

async fn install(connection: &SchemaManagerConnection<'_>, workspace: Uuid) -> Result<(), DbErr> {
    let (installation, now) = (new_id(), now(connection.get_database_backend()));
    let sql = format!(
        "INSERT INTO ext_installation (id, workspace_id, key, name, delivery_type, signing_secret, headers, \
         enabled, paused, ordered, revision, installed_at, installed_seq, closed, available) \
         SELECT {{1}}, w.id, 'chat', 'Chat', 'IN_PROCESS', '', '', TRUE, FALSE, FALSE, 1, {now}, {HEAD}, \
         FALSE, TRUE FROM workspace w WHERE w.id = {{2}}"
    );
    run(connection, &sql, vec![installation.into(), workspace.into()]).await?;
    attach(connection, installation).await
}

/// Gives the installation its cursor, where it has none, and its subscription.
async fn attach(connection: &SchemaManagerConnection<'_>, installation: Uuid) -> Result<(), DbErr> {
    let of_workspace = "FROM workspace w JOIN ext_installation i ON i.workspace_id = w.id";
    let cursor = format!(
        "INSERT INTO ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation) \
         SELECT i.id, w.id, {HEAD}, 0 {of_workspace} WHERE i.id = {{1}} AND NOT EXISTS \
         (SELECT 1 FROM ext_delivery_cursor c WHERE c.installation_id = i.id)"
    );
    run(connection, &cursor, vec![installation.into()]).await?;
    let now = now(connection.get_database_backend());
    let subscription = format!(
        "INSERT INTO ext_event_subscription (id, subscription_id, installation_id, workspace_id, event_key, \
         from_seq, created_at) SELECT {{1}}, {{2}}, i.id, w.id, 'platform.notification', {HEAD}, {now} \
         {of_workspace} WHERE i.id = {{3}}"
    );
    let ids = [new_id(), new_id(), installation];
    run(connection, &subscription, ids.map(Value::from).into()).await
}

async fn run(connection: &SchemaManagerConnection<'_>, sql: &str, values: Vec<Value>) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let sql = numbered(sql, values.len(), backend);
    connection
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await
        .map(drop)
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

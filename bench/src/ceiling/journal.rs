//! Group commit: all events that arrive while a batch is written are the next batch. A batch is one statement, which is
//! a transaction of its own. The statements go to the driver of the engine below SeaORM: its values would be copied
//! once more.

use anyhow::{Context as _, Result};
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend,
    sqlx::{self, PgConnection, SqliteConnection, pool::PoolConnection},
};
use tokio::sync::mpsc;

use super::event::{Event, PendingPublish};

/// Rows of one batch. SQLite has a statement for each number of rows, prepared when it is first needed.
const BATCH: usize = 256;

enum Writer {
    Sqlite(PoolConnection<sqlx::Sqlite>, Vec<Option<&'static str>>),
    Postgres(PoolConnection<sqlx::Postgres>),
}

pub(super) async fn run(
    url: &str,
    mut published: mpsc::UnboundedReceiver<PendingPublish>,
    written: &mpsc::UnboundedSender<Event>,
) -> Result<()> {
    let connection = open(url).await?;
    // Kept for the whole run: a pool would check its connection before each statement.
    let mut writer = if connection.get_database_backend() == DbBackend::Sqlite {
        let pool = connection.get_sqlite_connection_pool();
        Writer::Sqlite(pool.acquire().await?, vec![None; BATCH + 1])
    } else {
        Writer::Postgres(connection.get_postgres_connection_pool().acquire().await?)
    };
    let mut batch = Vec::with_capacity(BATCH);
    while published.recv_many(&mut batch, BATCH).await > 0 {
        match &mut writer {
            Writer::Sqlite(connection, texts) => {
                let text = *texts[batch.len()].get_or_insert_with(|| sqlite_text(batch.len()));
                insert_on_sqlite(connection, text, &batch).await?;
            }
            Writer::Postgres(connection) => insert_on_postgres(connection, &batch).await?,
        }
        for pending in batch.drain(..) {
            // The publisher may have closed its connection.
            let _ = pending.acknowledge.send(());
            written.send(pending.event).ok().context("the sender has ended")?;
        }
    }
    Ok(())
}

async fn open(url: &str) -> Result<DatabaseConnection> {
    let url = if url.starts_with("sqlite:") {
        format!("{url}?mode=rwc")
    } else {
        url.to_owned()
    };
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(1)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|options| options.statement_cache_capacity(2 * BATCH));
    let connection = Database::connect(options).await?;
    let statements = match connection.get_database_backend() {
        DbBackend::Sqlite => SQLITE,
        _ => POSTGRES,
    };
    for statement in statements {
        connection.execute_unprepared(statement).await?;
    }
    Ok(connection)
}

/// The settings of Pointsman: the same durability, and as many pages between two checkpoints.
const SQLITE: &[&str] = &[
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 4000",
    "CREATE TABLE platform_event (
         seq INTEGER PRIMARY KEY,
         id BLOB NOT NULL,
         workspace_id BLOB NOT NULL,
         event_key TEXT NOT NULL,
         schema_version TEXT,
         actor TEXT,
         payload TEXT NOT NULL,
         occurred_at BIGINT NOT NULL
     )",
];

const POSTGRES: &[&str] = &[
    "SET synchronous_commit = on",
    "CREATE TABLE platform_event (
         seq BIGSERIAL PRIMARY KEY,
         id UUID NOT NULL,
         workspace_id UUID NOT NULL,
         event_key TEXT NOT NULL,
         schema_version TEXT,
         actor TEXT,
         payload TEXT NOT NULL,
         occurred_at BIGINT NOT NULL
     )",
];

/// Makes a statement for this number of rows. It is made once, and kept until the process ends.
fn sqlite_text(rows: usize) -> &'static str {
    let values = vec!["(?,?,?,?,?,?,?)"; rows].join(",");
    let text = format!(
        "INSERT INTO platform_event (id, workspace_id, event_key, schema_version, actor, payload, occurred_at) \
         VALUES {values}"
    );
    Box::leak(text.into_boxed_str())
}

async fn insert_on_sqlite(
    connection: &mut SqliteConnection,
    text: &'static str,
    batch: &[PendingPublish],
) -> Result<()> {
    let mut query = sqlx::query(text);
    for PendingPublish { event, .. } in batch {
        query = query
            .bind(event.id)
            .bind(event.workspace)
            .bind(event.key.as_str())
            .bind(event.schema_version.as_deref())
            .bind(event.actor.as_deref())
            .bind(event.payload.as_str())
            .bind(event.occurred_at);
    }
    query.execute(connection).await?;
    Ok(())
}

/// One statement for all numbers of rows.
const UNNEST: &str = "INSERT INTO platform_event \
     (id, workspace_id, event_key, schema_version, actor, payload, occurred_at) \
     SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[])";

async fn insert_on_postgres(connection: &mut PgConnection, batch: &[PendingPublish]) -> Result<()> {
    let events = || batch.iter().map(|pending| &pending.event);
    sqlx::query(UNNEST)
        .bind(events().map(|event| event.id).collect::<Vec<_>>())
        .bind(events().map(|event| event.workspace).collect::<Vec<_>>())
        .bind(events().map(|event| event.key.as_str()).collect::<Vec<_>>())
        .bind(
            events()
                .map(|event| event.schema_version.as_deref())
                .collect::<Vec<_>>(),
        )
        .bind(events().map(|event| event.actor.as_deref()).collect::<Vec<_>>())
        .bind(events().map(|event| event.payload.as_str()).collect::<Vec<_>>())
        .bind(events().map(|event| event.occurred_at).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

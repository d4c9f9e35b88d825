//! What a migration leaves to do because it takes longer than one transaction may: the rows of the log move to their
//! new layout, in pieces.
//!
//! Each piece is one transaction that inserts the rows where they belong and deletes them where they were. A process
//! that is killed leaves every row in one of the two tables, and the next one goes on. The file does not grow by the
//! size of the log, because the pages of moved rows are used again.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{DatabaseConnection, DbBackend, Statement, TransactionTrait, Value},
};

use crate::m20261128_000010_log_layout::BY_ID;

/// The most rows of a piece.
const ROWS: i64 = 5_000;
/// A piece ends with the row at which its payloads reach so many bytes.
const BYTES: i64 = 8 * 1024 * 1024;

/// How far the rows are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub moved: u64,
    pub all: u64,
}

/// Moves the rows that an earlier version has left in the former layout, if there are any, and tells `report` after
/// each piece. Nobody else may use the database meanwhile.
///
/// # Errors
/// When the database fails. What is moved stays moved.
pub async fn move_rows(
    connection: &DatabaseConnection,
    mut report: impl FnMut(Progress),
) -> Result<(), DbErr> {
    if !is_unfinished(connection).await? {
        return Ok(());
    }
    let all = count_unmoved(connection).await?;
    let mut moved = 0;
    report(Progress { moved, all });
    while let Some(piece) = next_piece(connection).await? {
        move_piece(connection, &piece).await?;
        // Otherwise the write-ahead log would become as large as the log of events.
        connection
            .execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)")
            .await?;
        moved += piece.rows;
        report(Progress { moved, all });
    }
    let transaction = TransactionTrait::begin(connection).await?;
    transaction.execute_unprepared(BY_ID).await?;
    transaction
        .execute_unprepared("DROP TABLE platform_event_unmoved")
        .await?;
    transaction.commit().await?;
    Ok(())
}

async fn is_unfinished(connection: &DatabaseConnection) -> Result<bool, DbErr> {
    if connection.get_database_backend() != DbBackend::Sqlite {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM sqlite_master WHERE name = 'platform_event_unmoved'";
    let statement = Statement::from_string(DbBackend::Sqlite, sql);
    Ok(connection.query_one_raw(statement).await?.is_some())
}

/// Takes two look-ups for each workspace: nothing was ever deleted from the former layout but what was moved, so that
/// the positions of a workspace have no gaps.
async fn count_unmoved(connection: &DatabaseConnection) -> Result<u64, DbErr> {
    let sql = "WITH RECURSIVE workspaces (its_id) AS (\
               SELECT MIN(workspace_id) FROM platform_event_unmoved UNION ALL \
               SELECT (SELECT MIN(workspace_id) FROM platform_event_unmoved WHERE workspace_id > its_id) \
               FROM workspaces WHERE its_id IS NOT NULL) \
               SELECT COALESCE(SUM(\
               (SELECT MAX(seq) FROM platform_event_unmoved WHERE workspace_id = its_id) \
               - (SELECT MIN(seq) FROM platform_event_unmoved WHERE workspace_id = its_id) + 1), 0) AS events \
               FROM workspaces WHERE its_id IS NOT NULL";
    let row = connection
        .query_one_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await?;
    let rows: i64 = row.map(|row| row.try_get("", "events")).transpose()?.unwrap_or(0);
    Ok(rows.unsigned_abs())
}

/// The first rows by key, up to the last one named here.
struct Piece {
    last: (Vec<u8>, i64),
    rows: u64,
}

async fn next_piece(connection: &DatabaseConnection) -> Result<Option<Piece>, DbErr> {
    let sql = "SELECT workspace_id, seq, octet_length(payload) AS bytes FROM platform_event_unmoved \
               ORDER BY workspace_id, seq LIMIT ?";
    let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [ROWS.into()]);
    let (mut piece, mut bytes, mut rows) = (None, 0, 0);
    for row in connection.query_all_raw(statement).await? {
        rows += 1;
        bytes += row.try_get::<i64>("", "bytes")?;
        let last = (row.try_get("", "workspace_id")?, row.try_get("", "seq")?);
        piece = Some(Piece { last, rows });
        if bytes >= BYTES {
            break;
        }
    }
    Ok(piece)
}

async fn move_piece(connection: &DatabaseConnection, piece: &Piece) -> Result<(), DbErr> {
    const COLUMNS: &str = "workspace_id, seq, id, event_key, occurred_at, actor, schema_version, traceparent, \
                           causation_id, correlation_id, causation_depth, payload";
    const OF_PIECE: &str = "FROM platform_event_unmoved WHERE (workspace_id, seq) <= (?, ?)";
    let insert = format!(
        "INSERT INTO platform_event ({COLUMNS}) SELECT {COLUMNS} {OF_PIECE} ORDER BY workspace_id, seq"
    );
    let transaction = TransactionTrait::begin(connection).await?;
    for sql in [insert, format!("DELETE {OF_PIECE}")] {
        let (workspace, seq) = piece.last.clone();
        let values: [Value; 2] = [workspace.into(), seq.into()];
        transaction
            .execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values))
            .await?;
    }
    transaction.commit().await
}

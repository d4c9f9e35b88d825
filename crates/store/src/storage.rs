//! How much of the database is taken, by table and by workspace.

use pointsman_domain::{id::WorkspaceId, seq::Seq, timestamp::Timestamp};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::conditions::Sql;

/// The size of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseSize {
    /// Bytes that hold something.
    pub used_bytes: u64,
    /// Bytes of the file of an embedded database that are written again before it grows.
    pub free_bytes: Option<u64>,
}

/// How the rows of a table were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowCount {
    Exact(u64),
    /// Counted up to this number.
    AtLeast(u64),
    /// As the statistics of PostgreSQL have it; none before they have.
    Estimated(Option<u64>),
}

/// The size of a table with its indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    pub name: String,
    pub rows: RowCount,
    /// None where only reading all of an embedded database could tell: above [`MAX_MEASURED_BYTES`].
    pub bytes: Option<u64>,
}

/// What a workspace has in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceSize {
    pub id: WorkspaceId,
    pub name: String,
    pub events: u64,
    pub oldest_event_at: Option<Timestamp>,
    pub head: Seq,
    /// The events up to here are deleted.
    pub pruned_through: Seq,
}

/// Rows of a table that are counted.
const MAX_COUNTED: i64 = 100_000;
/// An embedded database of at most so many bytes is read to tell the size of each table.
pub const MAX_MEASURED_BYTES: u64 = 256 * 1024 * 1024;

/// # Errors
/// When the database fails.
pub async fn size_across_workspaces(conn: &impl ConnectionTrait) -> Result<DatabaseSize, DbErr> {
    let backend = conn.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => {
            "SELECT (p.page_count - f.freelist_count) * s.page_size AS used, f.freelist_count * s.page_size AS free \
             FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s"
        }
        _ => "SELECT pg_database_size(current_database()) AS used, NULL::BIGINT AS free",
    };
    let row = conn.query_one_raw(Statement::from_string(backend, sql)).await?;
    let Some(row) = row else {
        return Err(DbErr::RecordNotFound("the size of the database".to_owned()));
    };
    let free: Option<i64> = row.try_get("", "free")?;
    Ok(DatabaseSize {
        used_bytes: unsigned(row.try_get("", "used")?),
        free_bytes: free.map(unsigned),
    })
}

/// The tables, the largest first where that is known.
///
/// # Errors
/// When the database fails.
pub async fn tables_across_workspaces(
    conn: &impl ConnectionTrait,
    size: DatabaseSize,
) -> Result<Vec<TableSize>, DbErr> {
    let mut tables = match conn.get_database_backend() {
        DbBackend::Sqlite => tables_of_sqlite(conn, size).await?,
        _ => tables_of_postgres(conn).await?,
    };
    tables.sort_by(|one, other| (other.bytes, &one.name).cmp(&(one.bytes, &other.name)));
    Ok(tables)
}

async fn tables_of_sqlite(conn: &impl ConnectionTrait, size: DatabaseSize) -> Result<Vec<TableSize>, DbErr> {
    let is_measured = size.used_bytes <= MAX_MEASURED_BYTES;
    let sql = if is_measured {
        "SELECT m.tbl_name AS name, SUM(s.pgsize) AS bytes FROM sqlite_master m \
         JOIN (SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE) s ON s.name = m.name \
         WHERE m.tbl_name NOT LIKE 'sqlite@_%' ESCAPE '@' GROUP BY m.tbl_name"
    } else {
        "SELECT name, NULL AS bytes FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' ESCAPE '@'"
    };
    let mut tables = Vec::new();
    for row in conn
        .query_all_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await?
    {
        let name: String = row.try_get("", "name")?;
        let bytes: Option<i64> = row.try_get("", "bytes")?;
        tables.push(TableSize {
            rows: count(conn, &name).await?,
            name,
            bytes: bytes.map(unsigned),
        });
    }
    Ok(tables)
}

/// The name is one of the schema's own.
async fn count(conn: &impl ConnectionTrait, table: &str) -> Result<RowCount, DbErr> {
    let name = table.replace('"', "\"\"");
    let more = MAX_COUNTED + 1;
    let sql = format!("SELECT COUNT(*) AS found FROM (SELECT 1 FROM \"{name}\" LIMIT {more})");
    let row = conn
        .query_one_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await?;
    let rows: i64 = row.map_or(Ok(0), |row| row.try_get("", "found"))?;
    Ok(if rows > MAX_COUNTED {
        RowCount::AtLeast(unsigned(MAX_COUNTED))
    } else {
        RowCount::Exact(unsigned(rows))
    })
}

async fn tables_of_postgres(conn: &impl ConnectionTrait) -> Result<Vec<TableSize>, DbErr> {
    let sql = "SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes, \
               CAST(c.reltuples AS BIGINT) AS rows FROM pg_class c \
               WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace";
    let rows = conn
        .query_all_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await?;
    rows.iter()
        .map(|row| {
            let estimate: i64 = row.try_get("", "rows")?;
            Ok(TableSize {
                name: row.try_get("", "name")?,
                rows: RowCount::Estimated(u64::try_from(estimate).ok()),
                bytes: Some(unsigned(row.try_get("", "bytes")?)),
            })
        })
        .collect()
}

/// The workspaces after this id, in the order of their ids. Takes a few look-ups for each.
///
/// # Errors
/// When the database fails.
pub async fn list_across_workspaces(
    conn: &impl ConnectionTrait,
    after: Option<WorkspaceId>,
    limit: u64,
) -> Result<Vec<WorkspaceSize>, DbErr> {
    let mut sql = Sql::new(
        conn.get_database_backend(),
        "SELECT w.id, w.name, COALESCE(l.pruned_through, 0) AS pruned_through, \
         (SELECT MIN(e.seq) FROM platform_event e WHERE e.workspace_id = w.id) AS first, \
         (SELECT MAX(e.seq) FROM platform_event e WHERE e.workspace_id = w.id) AS last, \
         (SELECT e.occurred_at FROM platform_event e WHERE e.workspace_id = w.id ORDER BY e.seq LIMIT 1) AS oldest_at \
         FROM workspace w LEFT JOIN workspace_log l ON l.workspace_id = w.id",
    );
    sql.with_some(" WHERE w.id > ?", after.map(WorkspaceId::uuid));
    sql.with(" ORDER BY w.id LIMIT ?", i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = conn.query_all_raw(sql.statement()).await?;
    rows.iter()
        .map(|row| {
            let (first, last): (Option<i64>, Option<i64>) =
                (row.try_get("", "first")?, row.try_get("", "last")?);
            let pruned_through: i64 = row.try_get("", "pruned_through")?;
            let oldest_at: Option<i64> = row.try_get("", "oldest_at")?;
            Ok(WorkspaceSize {
                id: WorkspaceId::new(row.try_get("", "id")?),
                name: row.try_get("", "name")?,
                events: first
                    .zip(last)
                    .map_or(0, |(first, last)| unsigned(last - first + 1)),
                oldest_event_at: oldest_at.map(Timestamp::from_millis),
                head: Seq::new(last.unwrap_or(pruned_through)),
                pruned_through: Seq::new(pruned_through),
            })
        })
        .collect()
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

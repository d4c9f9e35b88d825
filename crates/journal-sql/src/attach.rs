//! Reads the state of a lane: its cursor and the deliveries settled beyond it. Runs on the writer connection between
//! batches, so that every settlement that was queued before is committed.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, Value};

use super::{
    reads::{self, IS_KNOWN_KIND},
    sql::numbered,
};
use pointsman_domain::{
    handler_name::HandlerName,
    id::{InstallationId, WorkspaceId},
    lane::Attachment,
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::CorruptRows;

/// The most settled deliveries that are read from each table. Usually there are about as many as the window. There are
/// more only after a lost cursor; then the attach must still end in time, and deliveries beyond this number may be
/// executed twice.
const MAX_HANDLED: usize = 200_000;

/// Reads the state of the installation's lane. Repairs a wrong cursor first: a missing cursor is set to the position
/// where the installation began, a cursor beyond the head is set back to the head.
pub(super) async fn attach(
    connection: &DatabaseConnection,
    corrupt: &CorruptRows,
    installation: InstallationId,
) -> Result<Attachment, DbErr> {
    let (workspace, settled) = match cursor(connection, installation).await? {
        Some(cursor) => cursor,
        None => recreate_cursor(connection, corrupt, installation).await?,
    };
    let head = reads::head(connection, workspace).await?;
    if settled > head {
        let lost = BeyondHead {
            installation,
            workspace,
            settled,
            head,
        };
        lost.repair(connection, corrupt).await?;
    }
    let settled = settled.min(head);
    note_unknown_kinds(connection, corrupt, workspace, installation).await?;
    let parked = seqs_beyond(connection, PARKED, installation, settled).await?;
    let dead = seqs_beyond(connection, DEAD_LETTERS, installation, settled).await?;
    let done = seqs_beyond(connection, EFFECTS_DONE, installation, settled).await?;
    Ok(Attachment {
        settled,
        parked_through: parked.last().map(|(seq, _)| *seq),
        handled: parked.into_iter().chain(dead).chain(done).collect(),
        next_retry_at: next_retry_at(connection, installation).await?,
        parked_live: has_parked_live(connection, installation).await?,
        head,
    })
}

async fn cursor(
    connection: &DatabaseConnection,
    installation: InstallationId,
) -> Result<Option<(WorkspaceId, Seq)>, DbErr> {
    let sql = "SELECT workspace_id, settled_seq AS seq FROM ext_delivery_cursor WHERE installation_id = ";
    workspace_and_seq(connection, sql, installation).await
}

async fn workspace_and_seq(
    connection: &DatabaseConnection,
    sql: &str,
    installation: InstallationId,
) -> Result<Option<(WorkspaceId, Seq)>, DbErr> {
    let backend = connection.get_database_backend();
    let [first] = numbered(backend);
    let statement =
        Statement::from_sql_and_values(backend, format!("{sql}{first}"), [installation.uuid().into()]);
    let Some(row) = connection.query_one_raw(statement).await? else {
        return Ok(None);
    };
    Ok(Some((
        WorkspaceId::new(row.try_get("", "workspace_id")?),
        Seq::new(row.try_get("", "seq")?),
    )))
}

/// Sets the cursor to the position where the installation began. Every event since then is delivered again, unless its
/// delivery is parked, dead or marked as done. No event is lost.
async fn recreate_cursor(
    connection: &DatabaseConnection,
    corrupt: &CorruptRows,
    installation: InstallationId,
) -> Result<(WorkspaceId, Seq), DbErr> {
    let sql = "SELECT workspace_id, installed_seq AS seq FROM ext_installation WHERE id = ";
    let (workspace, seq) = workspace_and_seq(connection, sql, installation)
        .await?
        .ok_or_else(|| DbErr::RecordNotFound(format!("installation {installation}")))?;
    let what = format!("the installation has no cursor; it starts again after {seq}");
    corrupt.note("ext_delivery_cursor", workspace, installation.uuid(), &what);
    let backend = connection.get_database_backend();
    let [first, second, third] = numbered(backend);
    let sql = format!(
        "INSERT INTO ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation) \
         VALUES ({first}, {second}, {third}, 0) ON CONFLICT (installation_id) DO NOTHING"
    );
    let values: [Value; 3] = [
        installation.uuid().into(),
        workspace.uuid().into(),
        seq.get().into(),
    ];
    connection
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    Ok((workspace, seq))
}

/// A cursor beyond the head of the log.
struct BeyondHead {
    installation: InstallationId,
    workspace: WorkspaceId,
    settled: Seq,
    head: Seq,
}

impl BeyondHead {
    async fn repair(&self, connection: &DatabaseConnection, corrupt: &CorruptRows) -> Result<(), DbErr> {
        let what = format!(
            "the cursor is at {}, beyond the log's head {}; it is set back to the head",
            self.settled, self.head
        );
        corrupt.note(
            "ext_delivery_cursor",
            self.workspace,
            self.installation.uuid(),
            &what,
        );
        let backend = connection.get_database_backend();
        let [first, second] = numbered(backend);
        let sql =
            format!("UPDATE ext_delivery_cursor SET settled_seq = {first} WHERE installation_id = {second}");
        let values: [Value; 2] = [self.head.get().into(), self.installation.uuid().into()];
        connection
            .execute_raw(Statement::from_sql_and_values(backend, sql, values))
            .await
            .map(drop)
    }
}

/// Sets every cursor of the workspace that is beyond `head` back to it. Must run before the first event is written
/// there: once the log has grown past such a cursor, the cursor looks right.
pub(super) async fn repair_cursors(
    connection: &DatabaseConnection,
    corrupt: &CorruptRows,
    workspace: WorkspaceId,
    head: Seq,
) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let values: [Value; 2] = [workspace.uuid().into(), head.get().into()];
    let statement = Statement::from_sql_and_values(backend, cursors_beyond_sql(backend), values);
    for row in connection.query_all_raw(statement).await? {
        let lost = BeyondHead {
            installation: InstallationId::new(row.try_get("", "installation_id")?),
            workspace,
            settled: Seq::new(row.try_get("", "settled_seq")?),
            head,
        };
        lost.repair(connection, corrupt).await?;
    }
    Ok(())
}

/// Reads the cursors of one workspace.
pub(super) fn cursors_beyond_sql(backend: DbBackend) -> String {
    let [first, second] = numbered(backend);
    format!(
        "SELECT installation_id, settled_seq FROM ext_delivery_cursor \
         WHERE workspace_id = {first} AND settled_seq > {second}"
    )
}

/// Notes retries of unknown kinds as corrupt, and does not change them: a newer version may know their kind.
async fn note_unknown_kinds(
    connection: &DatabaseConnection,
    corrupt: &CorruptRows,
    workspace: WorkspaceId,
    installation: InstallationId,
) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let statement = Statement::from_sql_and_values(
        backend,
        unknown_kinds_sql(backend),
        std::array::from_fn::<Value, 3, _>(|_| installation.uuid().into()),
    );
    for row in connection.query_all_raw(statement).await? {
        let kind: String = row.try_get("", "kind")?;
        let what = format!("this version does not know the retry kind {kind:?}");
        corrupt.note(
            "ext_delivery_retry",
            workspace,
            row.try_get("", "event_id")?,
            &what,
        );
    }
    Ok(())
}

/// Searches the ranges before, between and after the known kinds, so that no row of a known kind is read.
fn unknown_kinds_sql(backend: DbBackend) -> String {
    let placeholders: [&str; 3] = numbered(backend);
    let ranges = [
        "kind < 'LIVE'",
        "kind > 'LIVE' AND kind < 'REPLAY'",
        "kind > 'REPLAY'",
    ];
    let parts: Vec<String> = ranges
        .iter()
        .zip(placeholders)
        .map(|(range, placeholder)| {
            format!(
                "SELECT kind, event_id FROM (SELECT kind, event_id FROM ext_delivery_retry \
                 WHERE installation_id = {placeholder} AND {range} LIMIT 10) unknown"
            )
        })
        .collect();
    parts.join(" UNION ALL ")
}

/// Deliveries that are parked. Only those of kind `LIVE`: the CASE keeps the planner on the index by position.
pub(super) const PARKED: &str =
    "SELECT seq, handler FROM ext_delivery_retry WHERE CASE kind WHEN 'LIVE' THEN TRUE ELSE FALSE END";
/// Deliveries that have become dead letters.
pub(super) const DEAD_LETTERS: &str = "SELECT seq, handler FROM dead_letter_event WHERE TRUE";

/// Deliveries that an effect has marked as done.
pub(super) const EFFECTS_DONE: &str =
    "SELECT seq, handler FROM ext_delivery_done WHERE CASE kind WHEN 'LIVE' THEN TRUE ELSE FALSE END";

pub(super) fn seqs_beyond_sql(backend: DbBackend, select: &str) -> String {
    let [first, second] = numbered(backend);
    format!("{select} AND installation_id = {first} AND seq > {second} ORDER BY seq LIMIT {MAX_HANDLED}")
}

/// The deliveries of the installation beyond `settled` that `select` finds.
async fn seqs_beyond(
    connection: &DatabaseConnection,
    select: &str,
    installation: InstallationId,
    settled: Seq,
) -> Result<BTreeSet<(Seq, HandlerName)>, DbErr> {
    let backend = connection.get_database_backend();
    let sql = seqs_beyond_sql(backend, select);
    let values: [Value; 2] = [installation.uuid().into(), settled.get().into()];
    let rows = connection
        .query_all_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    rows.iter()
        .map(|row| {
            let handler: String = row.try_get("", "handler")?;
            Ok((Seq::new(row.try_get("", "seq")?), HandlerName::intern(&handler)))
        })
        .collect()
}

/// Whether a live delivery is in the retry table.
async fn has_parked_live(
    connection: &DatabaseConnection,
    installation: InstallationId,
) -> Result<bool, DbErr> {
    let backend = connection.get_database_backend();
    let [first] = numbered(backend);
    let sql = format!(
        "SELECT event_id FROM ext_delivery_retry WHERE installation_id = {first} AND kind = 'LIVE' LIMIT 1"
    );
    let values = [installation.uuid().into()];
    let row = connection
        .query_one_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    Ok(row.is_some())
}

async fn next_retry_at(
    connection: &DatabaseConnection,
    installation: InstallationId,
) -> Result<Option<Timestamp>, DbErr> {
    let backend = connection.get_database_backend();
    let [first] = numbered(backend);
    let sql = format!(
        "SELECT next_attempt_at AS next FROM ext_delivery_retry r WHERE installation_id = {first} \
         AND {IS_KNOWN_KIND} ORDER BY next_attempt_at, seq LIMIT 1"
    );
    let values = [installation.uuid().into()];
    let row = connection
        .query_one_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    row.map(|row| row.try_get("", "next").map(Timestamp::from_millis))
        .transpose()
}

//! The table `workspace_due`: at which time at the latest the actor of a workspace has to be started. What the rows
//! promise is told in `pointsman_journal`, module `due`.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, Value};

use super::sql::{numbered, rows_of, rows_with_ids};
use pointsman_domain::{id::WorkspaceId, timestamp::Timestamp};
use pointsman_journal::{DueRow, Rested};

/// No hold is longer, so that times do not overflow: 31,000 years.
const LONGEST_HOLD_MILLIS: u128 = 1_000_000_000_000_000;

/// Marks the workspaces as due at once. A row that says so already is not written again.
pub(super) fn marks(workspaces: &BTreeSet<WorkspaceId>, backend: DbBackend) -> Vec<Statement> {
    let head = "INSERT INTO workspace_due (workspace_id, due_at) VALUES";
    let tail = "ON CONFLICT (workspace_id) DO UPDATE SET due_at = excluded.due_at \
                WHERE workspace_due.due_at <> excluded.due_at";
    let workspaces: Vec<WorkspaceId> = workspaces.iter().copied().collect();
    rows_of(&workspaces, backend, head, tail, |workspace| {
        vec![workspace.uuid().into(), DueRow::AT_ONCE.millis().into()]
    })
}

/// Writes when the workspaces have something to do next.
pub(super) async fn rest(transaction: &DatabaseTransaction, rests: &[Rested]) -> Result<(), DbErr> {
    for statement in rest_statements(rests, transaction.get_database_backend()) {
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

fn rest_statements(rests: &[Rested], backend: DbBackend) -> Vec<Statement> {
    let head = "INSERT INTO workspace_due (workspace_id, due_at) VALUES";
    let tail = "ON CONFLICT (workspace_id) DO UPDATE SET due_at = excluded.due_at";
    let (later, done): (Vec<&Rested>, Vec<&Rested>) = rests.iter().partition(|rest| rest.due_at.is_some());
    let mut statements = rows_of(&later, backend, head, tail, |rest| {
        let due_at = rest.due_at.unwrap_or(DueRow::AT_ONCE);
        vec![rest.workspace_id.uuid().into(), due_at.millis().into()]
    });
    let done: Vec<uuid::Uuid> = done.iter().map(|rest| rest.workspace_id.uuid()).collect();
    let delete = "DELETE FROM workspace_due WHERE workspace_id IN";
    statements.extend(rows_with_ids(backend, delete, &[], &done));
    statements
}

/// Up to `limit` rows after `after` that are due by `by`, in the order of their index.
pub(super) async fn page<C: ConnectionTrait>(
    connection: &C,
    after: DueRow,
    by: Timestamp,
    limit: usize,
) -> Result<Vec<DueRow>, DbErr> {
    let backend = connection.get_database_backend();
    let values: [Value; 4] = [
        after.due_at.millis().into(),
        after.workspace_id.uuid().into(),
        by.millis().into(),
        i64::try_from(limit).unwrap_or(i64::MAX).into(),
    ];
    let statement = Statement::from_sql_and_values(backend, page_sql(backend), values);
    let rows = connection.query_all_raw(statement).await?;
    rows.iter()
        .map(|row| {
            Ok(DueRow {
                due_at: Timestamp::from_millis(row.try_get("", "due_at")?),
                workspace_id: WorkspaceId::new(row.try_get("", "workspace_id")?),
            })
        })
        .collect()
}

pub(super) fn page_sql(backend: DbBackend) -> String {
    let [first, second, third, fourth] = numbered(backend);
    format!(
        "SELECT due_at, workspace_id FROM workspace_due WHERE (due_at, workspace_id) > ({first}, {second}) \
         AND due_at <= {third} ORDER BY due_at, workspace_id LIMIT {fourth}"
    )
}

/// The time of the first row after `after`.
pub(super) async fn earliest_after<C: ConnectionTrait>(
    connection: &C,
    after: Timestamp,
) -> Result<Option<Timestamp>, DbErr> {
    let backend = connection.get_database_backend();
    let [first] = numbered(backend);
    let sql = format!("SELECT MIN(due_at) AS next FROM workspace_due WHERE due_at > {first}");
    let values = [after.millis().into()];
    let row = connection
        .query_one_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    let next: Option<i64> = row.map(|row| row.try_get("", "next")).transpose()?.flatten();
    Ok(next.map(Timestamp::from_millis))
}

/// Of those of the workspaces that have something to do, when the first of it is to be done.
pub(super) async fn next_work<C: ConnectionTrait>(
    connection: &C,
    workspaces: &[WorkspaceId],
    max_hold: Duration,
) -> Result<HashMap<WorkspaceId, Timestamp>, DbErr> {
    let mut found = HashMap::new();
    for statement in next_work_statements(workspaces, max_hold, connection.get_database_backend()) {
        for row in connection.query_all_raw(statement).await? {
            let due_at: Option<i64> = row.try_get("", "due_at")?;
            if let Some(due_at) = due_at {
                let workspace = WorkspaceId::new(row.try_get("", "id")?);
                found.insert(workspace, Timestamp::from_millis(due_at));
            }
        }
    }
    Ok(found)
}

/// Takes a few index look-ups for each installation of the workspaces that is not closed, whatever the length of its
/// backlog and however many of its spans have ended. A missing cursor counts as standing at the installation's first
/// position. What waits for an installation that is held may expire once it has been held for `max_hold`.
pub(super) fn next_work_statements(
    workspaces: &[WorkspaceId],
    max_hold: Duration,
    backend: DbBackend,
) -> Vec<Statement> {
    let settled = "COALESCE(c.settled_seq, i.installed_seq)";
    let max_hold = max_hold.as_millis().min(LONGEST_HOLD_MILLIS);
    let is_behind = format!(
        "((EXISTS (SELECT 1 FROM ext_event_subscription s WHERE s.installation_id = i.id AND s.until_seq IS NULL) \
         OR EXISTS (SELECT 1 FROM ext_event_subscription s WHERE s.installation_id = i.id \
         AND s.until_seq > {settled})) \
         AND (SELECT MAX(e.seq) FROM platform_event e WHERE e.workspace_id = i.workspace_id) > {settled})"
    );
    let retry = "(SELECT MIN(r.next_attempt_at) FROM ext_delivery_retry r WHERE r.installation_id = i.id)";
    // A subquery for each workspace, and no join: SQLite would walk all installations, in the order of the groups.
    let head = format!(
        "SELECT v.column1 AS id, (SELECT MIN(CASE WHEN i.uninstalled_at IS NOT NULL THEN 0 \
         WHEN i.held_since IS NOT NULL THEN CASE WHEN {is_behind} OR {retry} IS NOT NULL \
         THEN i.held_since + {max_hold} END \
         WHEN {is_behind} THEN 0 ELSE {retry} END) FROM ext_installation i \
         LEFT JOIN ext_delivery_cursor c ON c.installation_id = i.id \
         WHERE i.workspace_id = v.column1 AND NOT i.closed) AS due_at FROM (VALUES"
    );
    let tail = ") AS v";
    rows_of(workspaces, backend, &head, tail, |workspace| {
        vec![workspace.uuid().into()]
    })
}

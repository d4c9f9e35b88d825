//! Workspaces that are deleted: the mark that stays until their rows are gone.

use pointsman_domain::{
    id::{UserId, WorkspaceId},
    timestamp::Timestamp,
};
use pointsman_journal::{ChangeError, Notice};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement, Value};

use crate::sql::numbered;

/// SQL that is true where the workspace `id`, an expression, is not deleted.
pub(super) fn is_not_deleted(id: &str) -> String {
    format!("NOT EXISTS (SELECT 1 FROM workspace_deletion d WHERE d.workspace_id = {id})")
}

/// Makes the workspace unknown: nobody finds it, the waker does not wake it, and the mark says that its rows are to be
/// deleted.
pub(super) async fn mark(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    by: UserId,
    now: Timestamp,
) -> Result<Option<Notice>, ChangeError> {
    let [first, second, third] = numbered(transaction.get_database_backend());
    let row = format!("DELETE FROM workspace WHERE id = {first}");
    if execute(transaction, row, [workspace.uuid().into()]).await? == 0 {
        return Err(ChangeError::NotFound("workspace"));
    }
    let mark = format!(
        "INSERT INTO workspace_deletion (workspace_id, deleted_at, deleted_by) VALUES ({first}, {second}, {third})"
    );
    let values = [workspace.uuid().into(), now.millis().into(), by.uuid().into()];
    execute(transaction, mark, values).await?;
    let due = format!("DELETE FROM workspace_due WHERE workspace_id = {first}");
    execute(transaction, due, [workspace.uuid().into()]).await?;
    // The journal tells the router of it.
    Ok(None)
}

async fn execute<const N: usize>(
    transaction: &DatabaseTransaction,
    sql: String,
    values: [Value; N],
) -> Result<u64, DbErr> {
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    Ok(transaction.execute_raw(statement).await?.rows_affected())
}

/// The workspaces that are deleted and of which rows are left, the first deleted first.
pub(super) async fn unfinished<C: ConnectionTrait>(connection: &C) -> Result<Vec<WorkspaceId>, DbErr> {
    let sql = "SELECT workspace_id FROM workspace_deletion ORDER BY deleted_at, workspace_id";
    let rows = connection
        .query_all_raw(Statement::from_string(connection.get_database_backend(), sql))
        .await?;
    rows.iter()
        .map(|row| Ok(WorkspaceId::new(row.try_get("", "workspace_id")?)))
        .collect()
}

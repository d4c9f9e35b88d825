//! What was erased of events. The journal writes it.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use pointsman_domain::{
    id::{UserId, WorkspaceId},
    seq::Seq,
    timestamp::Timestamp,
};

/// What was erased of an event, beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasure {
    pub at: Timestamp,
    /// The admin who wanted it.
    pub by: UserId,
    pub dead_letters: i64,
    /// Attempts whose error or response was erased.
    pub attempts: i64,
    pub chat_messages: i64,
}

/// The erasure of the event at this position; `None` where it was not erased.
///
/// # Errors
/// When the database fails.
pub async fn find(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    seq: Seq,
) -> Result<Option<Erasure>, DbErr> {
    let backend = conn.get_database_backend();
    let condition = match backend {
        DbBackend::Postgres => "workspace_id = $1 AND seq = $2",
        _ => "workspace_id = ? AND seq = ?",
    };
    let sql = format!(
        "SELECT erased_at, erased_by, dead_letters, attempts, chat_messages FROM event_erasure WHERE {condition}"
    );
    let values = [workspace.uuid().into(), seq.get().into()];
    let statement = Statement::from_sql_and_values(backend, sql, values);
    let row = conn.query_one_raw(statement).await?;
    row.map(|row| {
        Ok(Erasure {
            at: Timestamp::from_millis(row.try_get("", "erased_at")?),
            by: UserId::new(row.try_get("", "erased_by")?),
            dead_letters: row.try_get("", "dead_letters")?,
            attempts: row.try_get("", "attempts")?,
            chat_messages: row.try_get("", "chat_messages")?,
        })
    })
    .transpose()
}

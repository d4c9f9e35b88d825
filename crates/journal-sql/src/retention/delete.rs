//! The writer's part: deletes one piece.

mod workspace;

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Value};

use crate::{
    erasure,
    sql::{numbered, rows_with_ids, run, signed},
    transaction::in_transaction,
};
use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::{
    prune::{AttemptKey, LetterPosition, Piece},
    storage::Outcome,
};
use uuid::Uuid;

/// Deletes the piece in a transaction whose commit does not wait for the disk: what a crash brings back is found again.
pub(crate) async fn delete(connection: &DatabaseConnection, piece: Piece) -> Outcome<u64, DbErr> {
    let is_sqlite = connection.get_database_backend() == DbBackend::Sqlite;
    if is_sqlite && set_synchronous(connection, "NORMAL").await.is_err() {
        return Outcome::NotBegun;
    }
    let erases = matches!(piece, Piece::Erased { .. });
    if erases && erasure::overwrite(connection, true).await.is_err() {
        return Outcome::NotBegun;
    }
    let deleted = in_transaction(connection, async move |transaction| {
        if !is_sqlite {
            transaction
                .execute_unprepared("SET LOCAL synchronous_commit = off")
                .await?;
        }
        delete_in(transaction, piece).await
    })
    .await;
    if erases && erasure::overwrite(connection, false).await.is_err() {
        return Outcome::Unknown;
    }
    // Without this, a later commit of events on this connection might not wait for the disk.
    if is_sqlite && set_synchronous(connection, "FULL").await.is_err() {
        return Outcome::Unknown;
    }
    deleted
}

async fn set_synchronous(connection: &DatabaseConnection, value: &str) -> Result<(), DbErr> {
    let sql = format!("PRAGMA synchronous = {value}");
    connection
        .execute_unprepared(&sql)
        .await
        .inspect_err(|error| log::error!(error:%; "a setting of the connection cannot be changed"))
        .map(drop)
}

async fn delete_in(transaction: &DatabaseTransaction, piece: Piece) -> Result<u64, DbErr> {
    match piece {
        Piece::Events { workspace, through } => events(transaction, workspace, through).await,
        Piece::Attempts {
            after,
            through,
            made_before,
        } => {
            let made_before = ("attempted_at < {1}", made_before.millis().into());
            attempts(transaction, after, through, made_before).await
        }
        Piece::AttemptsOfWorkspace {
            workspace,
            after,
            through,
        } => {
            let of_workspace = ("workspace_id = {1}", workspace.uuid().into());
            attempts(transaction, after, through, of_workspace).await
        }
        Piece::Erased {
            workspace,
            event,
            table,
            limit,
        } => erasure::erase(transaction, workspace, event, table, limit).await,
        Piece::Workspace { workspace, limit } => workspace::rows(transaction, workspace, limit).await,
        Piece::DeadLetters { after, through } => dead_letters(transaction, after, through).await,
        Piece::IdempotencyKeys { used_by, limit } => {
            oldest(transaction, &IDEMPOTENCY_KEYS, used_by, limit).await
        }
        Piece::Sessions { ended_by, limit } => oldest(transaction, &SESSIONS, ended_by, limit).await,
        Piece::DerivedIds {
            published_before,
            limit,
        } => oldest(transaction, &DERIVED_IDS, published_before, limit).await,
        Piece::ChatMessages {
            workspace,
            channel,
            through,
        } => {
            let sql = "DELETE FROM chat_message WHERE workspace_id = {1} AND channel = {2} AND id <= {3}";
            run(
                transaction,
                sql,
                vec![workspace.uuid().into(), channel.into(), through.into()],
            )
            .await
        }
        Piece::Spans { workspace, ids } => spans(transaction, workspace, &ids).await,
        Piece::Installation { id, limit } => installation(transaction, id, limit).await,
    }
}

/// A kind of rows that expire: their table, its primary key, and the time by which an index orders them.
pub(super) struct Kind {
    pub(super) table: &'static str,
    key: &'static str,
    pub(super) time: &'static str,
}

pub(super) const IDEMPOTENCY_KEYS: Kind = Kind {
    table: "publish_idempotency_key",
    key: "workspace_id, key",
    time: "created_at",
};
pub(super) const SESSIONS: Kind = Kind {
    table: "user_session",
    key: "id",
    time: "expires_at",
};
pub(super) const DERIVED_IDS: Kind = Kind {
    table: "pruned_derived_event",
    key: "id",
    time: "occurred_at",
};

async fn oldest(
    transaction: &DatabaseTransaction,
    kind: &Kind,
    through: Timestamp,
    limit: u64,
) -> Result<u64, DbErr> {
    let Kind { table, key, time } = kind;
    let sql = format!(
        "DELETE FROM {table} WHERE ({key}) IN \
         (SELECT {key} FROM {table} WHERE {time} <= {{1}} ORDER BY {time} LIMIT {{2}})"
    );
    run(
        transaction,
        &sql,
        vec![through.millis().into(), signed(limit).into()],
    )
    .await
}

/// Keeps the ids of what handlers have published, and how far the log is pruned.
async fn events(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    through: Seq,
) -> Result<u64, DbErr> {
    let place = || vec![workspace.uuid().into(), through.get().into()];
    let keep_ids = "INSERT INTO pruned_derived_event (id, workspace_id, seq, occurred_at) \
                    SELECT id, workspace_id, seq, occurred_at FROM platform_event \
                    WHERE workspace_id = {1} AND seq <= {2} AND causation_id IS NOT NULL ON CONFLICT DO NOTHING";
    run(transaction, keep_ids, place()).await?;
    let delete = "DELETE FROM platform_event WHERE workspace_id = {1} AND seq <= {2}";
    let deleted = run(transaction, delete, place()).await?;
    let erasures = "DELETE FROM event_erasure WHERE workspace_id = {1} AND seq <= {2}";
    run(transaction, erasures, place()).await?;
    if deleted == 0 {
        // The workspace may be deleted: no row of it comes back.
        return Ok(0);
    }
    let remember = "INSERT INTO workspace_log (workspace_id, pruned_through) VALUES ({1}, {2}) \
                    ON CONFLICT (workspace_id) DO UPDATE SET pruned_through = excluded.pruned_through \
                    WHERE excluded.pruned_through > workspace_log.pruned_through";
    run(transaction, remember, place()).await?;
    Ok(deleted)
}

async fn attempts(
    transaction: &DatabaseTransaction,
    after: Option<AttemptKey>,
    through: AttemptKey,
    (condition, value): (&str, Value),
) -> Result<u64, DbErr> {
    const KEY: &str = "(event_id, installation_id, id)";
    let key = |key: AttemptKey| -> [Value; 3] {
        [
            key.event.uuid().into(),
            key.installation.uuid().into(),
            key.id.into(),
        ]
    };
    let mut values = vec![value];
    values.extend(key(through));
    let mut sql =
        format!("DELETE FROM ext_delivery_attempt WHERE {condition} AND {KEY} <= ({{2}}, {{3}}, {{4}})");
    if let Some(after) = after {
        sql.push_str(&format!(" AND {KEY} > ({{5}}, {{6}}, {{7}})"));
        values.extend(key(after));
    }
    run(transaction, &sql, values).await
}

async fn dead_letters(
    transaction: &DatabaseTransaction,
    after: Option<LetterPosition>,
    (failed_at, id): LetterPosition,
) -> Result<u64, DbErr> {
    let mut values: Vec<Value> = vec![failed_at.millis().into(), id.uuid().into()];
    let mut sql =
        "DELETE FROM dead_letter_event WHERE (failed_at, id) <= ({1}, {2}) AND status <> 'REPLAYING'"
            .to_owned();
    if let Some((failed_at, id)) = after {
        sql.push_str(" AND (failed_at, id) > ({3}, {4})");
        values.extend([failed_at.millis().into(), id.uuid().into()]);
    }
    run(transaction, &sql, values).await
}

async fn spans(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    ids: &[Uuid],
) -> Result<u64, DbErr> {
    let backend = transaction.get_database_backend();
    let [first] = numbered(backend);
    let head = format!(
        "DELETE FROM ext_event_subscription WHERE workspace_id = {first} AND NOT is_current \
         AND until_seq IS NOT NULL AND id IN"
    );
    let mut deleted = 0;
    for statement in rows_with_ids(backend, &head, &[workspace.uuid().into()], ids) {
        deleted += transaction.execute_raw(statement).await?.rows_affected();
    }
    Ok(deleted)
}

async fn installation(
    transaction: &DatabaseTransaction,
    id: InstallationId,
    limit: u64,
) -> Result<u64, DbErr> {
    let of_spans = "DELETE FROM ext_event_subscription WHERE id IN (SELECT id FROM ext_event_subscription \
                    WHERE installation_id = {1} LIMIT {2})";
    let spans = run(
        transaction,
        of_spans,
        vec![id.uuid().into(), signed(limit).into()],
    )
    .await?;
    if spans == limit {
        return Ok(spans);
    }
    let mut deleted = spans;
    for sql in [
        "DELETE FROM ext_delivery_cursor WHERE installation_id = {1}",
        "DELETE FROM ext_installation WHERE id = {1} AND closed",
    ] {
        deleted += run(transaction, sql, vec![id.uuid().into()]).await?;
    }
    Ok(deleted)
}

//! Deletes what has expired: idempotency keys and sessions of browsers.

use pointsman_domain::timestamp::Timestamp;
use pointsman_journal::storage::HouseKept;
use sea_orm::{ConnectionTrait, DbErr, Statement, Value};

use crate::{idempotency, sql::numbered};

/// Rows of each kind deleted in one transaction: publishers wait for it.
pub(crate) const PER_TRANSACTION: u64 = 1000;

/// A kind of rows that expire: their table, its primary key, and the time by which an index orders them.
struct Kind {
    table: &'static str,
    key: &'static str,
    time: &'static str,
}

const IDEMPOTENCY_KEYS: Kind = Kind {
    table: "publish_idempotency_key",
    key: "workspace_id, key",
    time: "created_at",
};
const SESSIONS: Kind = Kind {
    table: "user_session",
    key: "id",
    time: "expires_at",
};

/// Deletes up to [`PER_TRANSACTION`] rows of each kind that have expired, the oldest first. Sessions follow the time of
/// the day, `wall`, as sign-ins do. Where that is set back, they last longer.
pub(crate) async fn delete<C: ConnectionTrait>(
    connection: &C,
    now: Timestamp,
    wall: Timestamp,
) -> Result<HouseKept, DbErr> {
    let keys = delete_oldest(connection, &IDEMPOTENCY_KEYS, idempotency::expired_since(now)).await?;
    let sessions = delete_oldest(connection, &SESSIONS, wall).await?;
    Ok(if keys.max(sessions) < PER_TRANSACTION {
        HouseKept::Done
    } else {
        HouseKept::Partly
    })
}

/// Returns how many rows were deleted.
async fn delete_oldest<C: ConnectionTrait>(
    connection: &C,
    kind: &Kind,
    through: Timestamp,
) -> Result<u64, DbErr> {
    let backend = connection.get_database_backend();
    let Kind { table, key, time } = kind;
    let [first, second] = numbered(backend);
    let sql = format!(
        "DELETE FROM {table} WHERE ({key}) IN \
         (SELECT {key} FROM {table} WHERE {time} <= {first} ORDER BY {time} LIMIT {second})"
    );
    let limit = i64::try_from(PER_TRANSACTION).unwrap_or(i64::MAX);
    let values: [Value; 2] = [through.millis().into(), limit.into()];
    let deleted = connection
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    Ok(deleted.rows_affected())
}

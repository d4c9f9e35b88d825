//! Stores when the engine ran last. With it a start notices that the clock was set back while the server was down, so
//! that stored times do not delay retries, and that it is far ahead, so that what is held does not expire at once.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement, Value};

use super::sql::numbered;
use pointsman_domain::timestamp::Timestamp;

/// A clock that is behind by no more than this is ignored.
const TOLERANCE_MILLIS: i64 = 1000;
/// Time in which no server ran counts for so long at most towards the age of what is held: a clock that is a month
/// ahead cannot be told from a month without a server, and in neither has an admin had the time that
/// `retention.max_hold` promises.
const DOWNTIME_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Remembers that the engine's clock showed `now`.
pub(super) async fn write<C: ConnectionTrait>(connection: &C, now: Timestamp) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let [first] = numbered(backend);
    let sql = format!(
        "INSERT INTO engine_clock (id, last_seen_at) VALUES (1, {first}) \
         ON CONFLICT (id) DO UPDATE SET last_seen_at = excluded.last_seen_at"
    );
    let values = [now.millis().into()];
    connection
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await
        .map(drop)
}

/// Where the clock shows a time before the stored one, moves the stored times back, in one transaction with the new
/// time. A retry that was not due when the engine ran last waits for the same remaining time; an overdue one is due
/// now. Where it shows a time long after the stored one, what is held is held for less time.
pub(super) async fn correct_stored_times(
    transaction: &DatabaseTransaction,
    now: Timestamp,
) -> Result<(), DbErr> {
    if let Some(last_seen) = last_seen(transaction).await? {
        let ahead_ms = now.millis().saturating_sub(last_seen.millis());
        if ahead_ms < -TOLERANCE_MILLIS {
            let behind_ms = ahead_ms.saturating_neg();
            log::warn!(behind_ms; "the clock was set back while the server was down; retries are moved back with it");
            move_back(transaction, last_seen, now).await?;
        } else if ahead_ms > DOWNTIME_MILLIS {
            log::warn!(ahead_ms; "no server has run for more than a day, or the clock is ahead; holds are prolonged");
            prolong_holds(transaction, ahead_ms - DOWNTIME_MILLIS).await?;
        }
    }
    write(transaction, now).await
}

/// The time before which nothing is deleted by its age. A database that only versions have used which kept everything
/// waits for a day, so that an operator can keep what is there. So does one whose clock may have jumped: nothing goes
/// because of a wrong clock before somebody has had a day to see it.
///
/// Call it before [`correct_stored_times`], in the same transaction.
pub(super) async fn prune_from(
    transaction: &DatabaseTransaction,
    now: Timestamp,
) -> Result<PruneFrom, DbErr> {
    let backend = transaction.get_database_backend();
    let sql = "SELECT last_seen_at, prune_from FROM engine_clock WHERE id = 1";
    let row = transaction
        .query_one_raw(Statement::from_string(backend, sql))
        .await?;
    let later = now + Duration::from_millis(DOWNTIME_MILLIS.unsigned_abs());
    let Some(row) = row else {
        let any = Statement::from_string(backend, "SELECT 1 FROM platform_event LIMIT 1");
        let is_new = transaction.query_one_raw(any).await?.is_none();
        return Ok(PruneFrom(if is_new { now } else { later }));
    };
    let stored: Option<i64> = row.try_get("", "prune_from")?;
    let Some(stored) = stored.map(Timestamp::from_millis) else {
        return Ok(PruneFrom(later));
    };
    let ahead_ms = now.millis().saturating_sub(row.try_get("", "last_seen_at")?);
    Ok(PruneFrom(if ahead_ms > DOWNTIME_MILLIS {
        stored.max(later)
    } else {
        stored.min(later)
    }))
}

/// The time before which nothing is deleted by its age.
#[derive(Clone, Copy, Debug)]
pub(super) struct PruneFrom(Timestamp);

impl PruneFrom {
    /// Stores it. The row must be there.
    pub(super) async fn store(self, transaction: &DatabaseTransaction) -> Result<Timestamp, DbErr> {
        let backend = transaction.get_database_backend();
        let [first] = numbered(backend);
        let sql = format!("UPDATE engine_clock SET prune_from = {first} WHERE id = 1");
        let values = [self.0.millis().into()];
        transaction
            .execute_raw(Statement::from_sql_and_values(backend, sql, values))
            .await?;
        Ok(self.0)
    }
}

async fn prolong_holds(transaction: &DatabaseTransaction, by_millis: i64) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let [first] = numbered(backend);
    let sql =
        format!("UPDATE ext_installation SET held_since = held_since + {first} WHERE held_since IS NOT NULL");
    transaction
        .execute_raw(Statement::from_sql_and_values(backend, sql, [by_millis.into()]))
        .await
        .map(drop)
}

async fn last_seen(transaction: &DatabaseTransaction) -> Result<Option<Timestamp>, DbErr> {
    let sql = "SELECT last_seen_at FROM engine_clock WHERE id = 1";
    let statement = Statement::from_string(transaction.get_database_backend(), sql);
    let row = transaction.query_one_raw(statement).await?;
    row.map(|row| row.try_get("", "last_seen_at").map(Timestamp::from_millis))
        .transpose()
}

async fn move_back(
    transaction: &DatabaseTransaction,
    last_seen: Timestamp,
    now: Timestamp,
) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let [first, second, third, fourth] = numbered(backend);
    let (now, last_seen): (Value, Value) = (now.millis().into(), last_seen.millis().into());
    let retries = format!(
        "UPDATE ext_delivery_retry SET next_attempt_at = {first} + \
         CASE WHEN next_attempt_at > {second} THEN next_attempt_at - {third} ELSE 0 END"
    );
    let values = [now.clone(), last_seen.clone(), last_seen.clone()];
    transaction
        .execute_raw(Statement::from_sql_and_values(backend, retries, values))
        .await?;
    let due = format!(
        "UPDATE workspace_due SET due_at = {first} + \
         CASE WHEN due_at > {second} THEN due_at - {third} ELSE 0 END WHERE due_at > {fourth}"
    );
    let values = [now.clone(), last_seen.clone(), last_seen, now.clone()];
    transaction
        .execute_raw(Statement::from_sql_and_values(backend, due, values))
        .await?;
    // An age whose start lies in the future starts now.
    for (table, column) in [
        ("publish_idempotency_key", "created_at"),
        ("ext_installation", "held_since"),
    ] {
        let sql = format!("UPDATE {table} SET {column} = {first} WHERE {column} > {second}");
        let values = [now.clone(), now.clone()];
        transaction
            .execute_raw(Statement::from_sql_and_values(backend, sql, values))
            .await?;
    }
    Ok(())
}

//! Queries of the recovery: the generations of a start, and after a lost connection the outcome of its batch.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement, Value};

use super::sql::power_of_two_chunks;
use pointsman_domain::{id::EventId, seq::Seq};

/// More than the attaches of any one start: 10,000 a second for 79 days.
const GENERATIONS_PER_START: i64 = 1 << 36;

/// Counts the start. Returns the generation before its first one, which is higher than all that are stored: the
/// generations of a start begin at its number times 2^36.
pub(super) async fn begin_generations(transaction: &DatabaseTransaction) -> Result<i64, DbErr> {
    let sql = "INSERT INTO engine_start (id, starts) VALUES (1, 1) \
               ON CONFLICT (id) DO UPDATE SET starts = engine_start.starts + 1 RETURNING starts";
    let statement = Statement::from_string(transaction.get_database_backend(), sql);
    let row = transaction.query_one_raw(statement).await?;
    let starts: i64 = row
        .ok_or_else(|| DbErr::RecordNotFound("engine_start".to_owned()))?
        .try_get("", "starts")?;
    Ok(starts.saturating_mul(GENERATIONS_PER_START))
}

/// The positions of the given events, also of those that handlers have published and that are pruned. Events that are
/// not in the log are missing from the map.
pub(super) async fn positions_of(
    connection: &DatabaseConnection,
    ids: &[EventId],
) -> Result<HashMap<EventId, Seq>, DbErr> {
    let backend = connection.get_database_backend();
    let mut found = HashMap::with_capacity(ids.len());
    for chunk in power_of_two_chunks(ids, 512) {
        let values: Vec<Value> = chunk.iter().map(|id| id.uuid().into()).collect();
        let statement = Statement::from_sql_and_values(backend, positions_sql(backend, chunk.len()), values);
        for row in connection.query_all_raw(statement).await? {
            found.insert(
                EventId::new(row.try_get("", "id")?),
                Seq::new(row.try_get("", "seq")?),
            );
        }
    }
    Ok(found)
}

/// Both engines take a numbered placeholder more than once.
fn positions_sql(backend: DbBackend, ids: usize) -> String {
    let sign = match backend {
        DbBackend::Postgres => '$',
        _ => '?',
    };
    let list: Vec<String> = (1..=ids).map(|number| format!("{sign}{number}")).collect();
    let list = list.join(",");
    format!(
        "SELECT id, seq FROM platform_event WHERE id IN ({list}) \
         UNION ALL SELECT id, seq FROM pruned_derived_event WHERE id IN ({list})"
    )
}

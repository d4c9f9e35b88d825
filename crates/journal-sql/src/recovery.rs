//! Queries of the recovery: the last generation at a start, and after a lost connection the outcome of its batch.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, Value};

use super::sql::power_of_two_chunks;
use pointsman_domain::{id::EventId, seq::Seq};

/// The highest generation of all stored settlements; 0 if there are none.
pub(super) async fn last_generation(connection: &DatabaseConnection) -> Result<i64, DbErr> {
    let sql = "SELECT MAX(generation) AS generation FROM ext_delivery_cursor";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await?;
    let generation: Option<i64> = row
        .map(|row| row.try_get("", "generation"))
        .transpose()?
        .flatten();
    Ok(generation.unwrap_or(0))
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

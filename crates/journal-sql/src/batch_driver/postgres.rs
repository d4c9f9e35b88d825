//! The batch driver on PostgreSQL. A round trip is a message to the server and back. Each statement is a transaction.
//! Columns are bound as arrays, so that the text of a statement does not depend on the number of rows.

use sea_orm::sqlx::{self, PgConnection, Postgres, postgres::PgArguments, query::Query};

use super::rows::{ATTEMPT_ROW, StatementError, Writing, wrapped};
use crate::sql::count;
use pointsman_domain::{event::PlatformEvent, timestamp::Timestamp};
use pointsman_journal::{AttemptRecord, storage::Cursor};

/// The same statements as in [`crate::apply`], with arrays instead of values.
macro_rules! events {
    () => {
        "INSERT INTO platform_event (workspace_id, seq, id, event_key, schema_version, actor, payload, occurred_at, \
         traceparent, causation_id, correlation_id, causation_depth) \
         SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], \
         $8::bigint[], $9::text[], $10::uuid[], $11::uuid[], $12::int[])"
    };
}

macro_rules! cursors {
    ($a:literal, $b:literal, $c:literal, $d:literal, $e:literal, $f:literal) => {
        concat!(
            "INSERT INTO ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation, \
             last_success_at, last_failure_at) SELECT * FROM UNNEST(",
            $a,
            "::uuid[], ",
            $b,
            "::uuid[], ",
            $c,
            "::bigint[], ",
            $d,
            "::bigint[], ",
            $e,
            "::bigint[], ",
            $f,
            "::bigint[]) ON CONFLICT (installation_id) DO UPDATE SET \
             settled_seq = GREATEST(excluded.settled_seq, ext_delivery_cursor.settled_seq), \
             generation = excluded.generation, \
             last_success_at = COALESCE(excluded.last_success_at, ext_delivery_cursor.last_success_at), \
             last_failure_at = COALESCE(excluded.last_failure_at, ext_delivery_cursor.last_failure_at)"
        )
    };
}

const EVENTS: &str = events!();
const CURSORS: &str = cursors!("$1", "$2", "$3", "$4", "$5", "$6");
const EVENTS_AND_CURSORS: &str = concat!(
    "WITH events AS (",
    events!(),
    ") ",
    cursors!("$13", "$14", "$15", "$16", "$17", "$18")
);

type Bound = Query<'static, Postgres, PgArguments>;

pub(super) async fn write_batch(
    connection: &mut PgConnection,
    events: &[&PlatformEvent],
    cursors: &[Cursor],
) -> Result<(), StatementError> {
    let query = match (events.is_empty(), cursors.is_empty()) {
        (true, true) => return Ok(()),
        (false, true) => bind_events(sqlx::query(EVENTS), events),
        (true, false) => bind_cursors(sqlx::query(CURSORS), cursors),
        (false, false) => bind_cursors(bind_events(sqlx::query(EVENTS_AND_CURSORS), events), cursors),
    };
    execute(query, connection).await
}

pub(super) async fn write_attempts(
    connection: &mut PgConnection,
    rows: &[AttemptRecord],
    writing: Writing,
) -> Result<(), StatementError> {
    let conflict = writing.conflict();
    // The setting holds for this statement's transaction, its commit included.
    let text = format!(
        "WITH relaxed AS (SELECT set_config('synchronous_commit', 'off', true)) INSERT INTO {ATTEMPT_ROW} \
         SELECT attempts.* FROM relaxed, UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], \
         $6::text[], $7::int[], $8::text[], $9::int[], $10::bigint[], $11::text[], $12::text[], $13::bigint[]) \
         AS attempts {conflict}"
    );
    execute(
        bind_attempts(sqlx::query(sqlx::AssertSqlSafe(text)), rows),
        connection,
    )
    .await
}

async fn execute(query: Bound, connection: &mut PgConnection) -> Result<(), StatementError> {
    // A failed statement has written nothing, provided that the connection works. The caller decides that by the error.
    match query.execute(connection).await {
        Ok(_) => Ok(()),
        Err(error) => Err(StatementError::RolledBack(wrapped(error))),
    }
}

fn bind_events(query: Bound, events: &[&PlatformEvent]) -> Bound {
    query
        .bind(column(events, |event| event.workspace_id.uuid()))
        .bind(column(events, |event| event.seq.get()))
        .bind(column(events, |event| event.id.uuid()))
        .bind(column(events, |event| event.event_key.as_str()))
        .bind(column(events, |event| event.schema_version.as_deref()))
        .bind(column(events, |event| event.actor.as_deref()))
        .bind(column(events, |event| &*event.payload))
        .bind(column(events, |event| event.occurred_at.millis()))
        .bind(column(events, |event| event.traceparent.as_deref()))
        .bind(column(events, |event| {
            event.cause.map(|cause| cause.causation_id.uuid())
        }))
        .bind(column(events, |event| {
            event.cause.map(|cause| cause.correlation_id.uuid())
        }))
        .bind(column(events, |event| {
            count(event.cause.map_or(0, |cause| cause.depth))
        }))
}

fn bind_cursors(query: Bound, cursors: &[Cursor]) -> Bound {
    query
        .bind(column(cursors, |cursor| cursor.installation_id.uuid()))
        .bind(column(cursors, |cursor| cursor.workspace_id.uuid()))
        .bind(column(cursors, |cursor| cursor.settled.get()))
        .bind(column(cursors, |cursor| cursor.generation))
        .bind(column(cursors, |cursor| {
            cursor.last_success_at.map(Timestamp::millis)
        }))
        .bind(column(cursors, |cursor| {
            cursor.last_failure_at.map(Timestamp::millis)
        }))
}

fn bind_attempts(query: Bound, rows: &[AttemptRecord]) -> Bound {
    query
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| row.workspace_id.uuid()))
        .bind(column(rows, |row| row.installation_id.uuid()))
        .bind(column(rows, |row| row.event_id.uuid()))
        .bind(column(rows, |row| row.handler.as_str()))
        .bind(column(rows, |row| row.kind.as_str()))
        .bind(column(rows, |row| count(row.number)))
        .bind(column(rows, |row| row.outcome.as_str()))
        .bind(column(rows, |row| row.http_status.map(i32::from)))
        .bind(column(rows, |row| row.duration_ms))
        .bind(column(rows, |row| row.error.as_deref()))
        .bind(column(rows, |row| row.response.as_deref()))
        .bind(column(rows, |row| row.attempted_at.millis()))
}

fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

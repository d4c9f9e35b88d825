//! Writes the changes of a transaction with multi-row statements. All changes except plain batches are written here.

mod admin;

use std::collections::BTreeSet;

use pointsman_domain::{
    event::PlatformEvent,
    id::{DeadLetterId, InstallationId},
    lane::DeliveryKey,
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::{
    changes::{Changes, Dead, Parked, UsedKey},
    storage::{Cursor, Written},
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, Value};

use crate::{
    due,
    sql::{ROWS_PER_STATEMENT, any_of, count, power_of_two_chunks, rows_of},
};

pub(crate) const EVENT_COLUMNS: usize = 12;
/// Table and columns of an event, for INSERT INTO.
pub(crate) const EVENT_ROW: &str = "platform_event (workspace_id, seq, id, event_key, \
     schema_version, actor, payload, occurred_at, traceparent, causation_id, correlation_id, causation_depth)";
/// Table and columns of a cursor, for INSERT INTO.
pub(crate) const CURSOR_ROW: &str = "ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation, \
     last_success_at, last_failure_at)";
pub(crate) const CURSOR_COLUMNS: usize = 6;
/// A cursor never moves back. A settlement without an attempt does not change the times of the last outcomes.
pub(crate) const MOVE_CURSORS: &str = "ON CONFLICT (installation_id) DO UPDATE SET \
     settled_seq = CASE WHEN excluded.settled_seq > ext_delivery_cursor.settled_seq \
     THEN excluded.settled_seq ELSE ext_delivery_cursor.settled_seq END, generation = excluded.generation, \
     last_success_at = COALESCE(excluded.last_success_at, ext_delivery_cursor.last_success_at), \
     last_failure_at = COALESCE(excluded.last_failure_at, ext_delivery_cursor.last_failure_at)";

/// Takes one index look-up for each installation, whatever the number of its marks.
const UNMARKED: (&str, &str) = (
    "SELECT v.column1 AS installation_id FROM (VALUES",
    ") AS v WHERE NOT EXISTS (SELECT 1 FROM ext_delivery_done d WHERE d.installation_id = v.column1)",
);

/// Writes the changes, with one round trip for each kind of row, and more only for more than [`ROWS_PER_STATEMENT`]
/// rows of a kind.
pub(crate) async fn apply(
    transaction: &DatabaseTransaction,
    changes: &Changes<'_>,
) -> Result<Written, DbErr> {
    for statement in statements(changes, transaction.get_database_backend()) {
        transaction.execute_raw(statement).await?;
    }
    Ok(Written {
        unmarked: unmarked(transaction, changes).await?,
    })
}

/// The installations whose marks were swept and that have no mark left.
async fn unmarked(
    transaction: &DatabaseTransaction,
    changes: &Changes<'_>,
) -> Result<Vec<InstallationId>, DbErr> {
    let backend = transaction.get_database_backend();
    let swept = changes.swept.iter().map(|(installation, _)| *installation);
    let swept: Vec<InstallationId> = swept.collect::<BTreeSet<_>>().into_iter().collect();
    let mut unmarked = Vec::new();
    for statement in rows_of(&swept, backend, UNMARKED.0, UNMARKED.1, |installation| {
        vec![installation.uuid().into()]
    }) {
        for row in transaction.query_all_raw(statement).await? {
            unmarked.push(InstallationId::new(row.try_get("", "installation_id")?));
        }
    }
    Ok(unmarked)
}

/// The statements that write the changes, in the order in which they are to be executed.
pub(crate) fn statements(changes: &Changes<'_>, backend: DbBackend) -> Vec<Statement> {
    let mut statements = Vec::new();
    statements.extend(events(&changes.events, backend));
    statements.extend(keys(&changes.keys, backend));
    statements.extend(cursors(&changes.cursors, backend));
    statements.extend(parked(&changes.parked, backend));
    statements.extend(dead(&changes.dead, backend));
    statements.extend(returned(&changes.returned, backend));
    statements.extend(replayed(&changes.replayed, backend));
    statements.extend(removed(&changes.removed, backend));
    statements.extend(admin::statements(changes, backend));
    statements.extend(due::marks(&changes.due, backend));
    // Last, because a mark is kept while its delivery is in the retry table, which the others change.
    statements.extend(swept(&changes.swept, backend));
    statements
}

fn events(rows: &[&PlatformEvent], backend: DbBackend) -> Vec<Statement> {
    let head = format!("INSERT INTO {EVENT_ROW} VALUES");
    rows_of(rows, backend, &head, "", |event| event_values(event).to_vec())
}

fn keys(rows: &[UsedKey<'_>], backend: DbBackend) -> Vec<Statement> {
    let head =
        "INSERT INTO publish_idempotency_key (workspace_id, key, body_sha256, event_ids, created_at) VALUES";
    let tail = "ON CONFLICT (workspace_id, key) DO UPDATE SET body_sha256 = excluded.body_sha256, \
                event_ids = excluded.event_ids, created_at = excluded.created_at";
    rows_of(rows, backend, head, tail, |used| {
        let ids = used.event_ids.iter().flat_map(|id| id.uuid().into_bytes());
        vec![
            used.workspace_id.uuid().into(),
            used.key.into(),
            used.body_sha256.to_vec().into(),
            ids.collect::<Vec<u8>>().into(),
            used.used_at.millis().into(),
        ]
    })
}

fn cursors(rows: &[Cursor], backend: DbBackend) -> Vec<Statement> {
    let head = format!("INSERT INTO {CURSOR_ROW} VALUES");
    rows_of(rows, backend, &head, MOVE_CURSORS, |cursor| {
        vec![
            cursor.installation_id.uuid().into(),
            cursor.workspace_id.uuid().into(),
            cursor.settled.get().into(),
            cursor.generation.into(),
            cursor.last_success_at.map(Timestamp::millis).into(),
            cursor.last_failure_at.map(Timestamp::millis).into(),
        ]
    })
}

fn parked(rows: &[Parked<'_>], backend: DbBackend) -> Vec<Statement> {
    let head = "INSERT INTO ext_delivery_retry (installation_id, kind, event_id, handler, workspace_id, seq, attempts, \
                next_attempt_at, last_status, last_error, dead_letter_id) VALUES";
    let tail = "ON CONFLICT (installation_id, kind, event_id, handler) DO UPDATE SET attempts = excluded.attempts, \
                next_attempt_at = excluded.next_attempt_at, last_status = excluded.last_status, \
                last_error = excluded.last_error";
    rows_of(rows, backend, head, tail, |parked| {
        let retry = parked.retry;
        vec![
            parked.installation_id.uuid().into(),
            retry.key.kind.as_str().into(),
            retry.key.event_id.uuid().into(),
            retry.key.handler.as_str().into(),
            parked.workspace_id.uuid().into(),
            retry.seq.get().into(),
            count(retry.attempts).into(),
            retry.next_attempt_at.millis().into(),
            retry.last_status.map(i32::from).into(),
            retry.last_error.clone().into(),
            parked.dead_letter_id.map(DeadLetterId::uuid).into(),
        ]
    })
}

fn removed(rows: &[(InstallationId, DeliveryKey)], backend: DbBackend) -> Vec<Statement> {
    let head = "DELETE FROM ext_delivery_retry WHERE (installation_id, kind, event_id, handler) IN (VALUES";
    rows_of(rows, backend, head, ")", |(installation, key)| {
        vec![
            installation.uuid().into(),
            key.kind.as_str().into(),
            key.event_id.uuid().into(),
            key.handler.as_str().into(),
        ]
    })
}

fn dead(rows: &[Dead<'_>], backend: DbBackend) -> Vec<Statement> {
    let head = "INSERT INTO dead_letter_event (id, workspace_id, installation_id, extension_key, event_id, \
                handler, seq, event_key, schema_version, actor, payload, occurred_at, traceparent, \
                causation_id, correlation_id, causation_depth, reason, attempts, last_status, last_error, \
                failed_at, status) VALUES";
    let tail = "ON CONFLICT (installation_id, event_id, handler) DO NOTHING";
    rows_of(rows, backend, head, tail, letter_values)
}

// Both engines name the columns of VALUES `column1`, `column2` and so on.

fn returned(rows: &[Dead<'_>], backend: DbBackend) -> Vec<Statement> {
    let head = "UPDATE dead_letter_event SET status = 'DEAD', attempts = v.column2, reason = v.column3, \
                last_status = v.column4, last_error = v.column5, failed_at = v.column6 FROM (VALUES";
    let tail = ") AS v WHERE dead_letter_event.status = 'REPLAYING' AND dead_letter_event.id = v.column1";
    rows_of(rows, backend, head, tail, |Dead { letter, given_up, .. }| {
        vec![
            letter.id.uuid().into(),
            count(given_up.attempts).into(),
            given_up.reason.as_str().into(),
            given_up.last_status.map(i32::from).into(),
            given_up.last_error.clone().into(),
            letter.at.millis().into(),
        ]
    })
}

fn replayed(rows: &[(DeadLetterId, Timestamp)], backend: DbBackend) -> Vec<Statement> {
    let head = "UPDATE dead_letter_event SET status = 'REPLAYED', replayed_at = v.column2, \
                attempts = dead_letter_event.attempts + 1 FROM (VALUES";
    let tail = ") AS v WHERE dead_letter_event.status = 'REPLAYING' AND dead_letter_event.id = v.column1";
    rows_of(rows, backend, head, tail, |(id, at)| {
        vec![id.uuid().into(), at.millis().into()]
    })
}

fn swept(rows: &[(InstallationId, Seq)], backend: DbBackend) -> Vec<Statement> {
    const NOT_PARKED: &str = "AND NOT EXISTS \
        (SELECT 1 FROM ext_delivery_retry r WHERE r.installation_id = ext_delivery_done.installation_id \
        AND r.kind = ext_delivery_done.kind AND r.event_id = ext_delivery_done.event_id \
        AND r.handler = ext_delivery_done.handler)";
    let values = |(installation, through): &(InstallationId, Seq)| {
        vec![installation.uuid().into(), through.get().into()]
    };
    if backend == DbBackend::Postgres {
        let head = "DELETE FROM ext_delivery_done USING (VALUES";
        let tail = ") AS v WHERE ext_delivery_done.installation_id = v.column1 AND ext_delivery_done.seq <= v.column2";
        return rows_of(rows, backend, head, &format!("{tail} {NOT_PARKED}"), values);
    }
    // SQLite has no DELETE with a join.
    let head = "DELETE FROM ext_delivery_done WHERE";
    power_of_two_chunks(rows, ROWS_PER_STATEMENT)
        .map(|chunk| {
            let values = chunk.iter().flat_map(values).collect();
            any_of(head, ["installation_id =", "seq <="], NOT_PARKED, values)
        })
        .collect()
}

fn event_values(event: &PlatformEvent) -> [Value; EVENT_COLUMNS] {
    let [causation, correlation, depth] = cause_values(event);
    [
        event.workspace_id.uuid().into(),
        event.seq.get().into(),
        event.id.uuid().into(),
        event.event_key.as_str().into(),
        event.schema_version.as_deref().into(),
        event.actor.as_deref().into(),
        String::from(&*event.payload).into(),
        event.occurred_at.millis().into(),
        event.traceparent.clone().into(),
        causation,
        correlation,
        depth,
    ]
}

/// `causation_id`, `correlation_id` and `causation_depth`.
fn cause_values(event: &PlatformEvent) -> [Value; 3] {
    let cause = event.cause;
    [
        cause.map(|cause| cause.causation_id.uuid()).into(),
        cause.map(|cause| cause.correlation_id.uuid()).into(),
        count(cause.map_or(0, |cause| cause.depth)).into(),
    ]
}

fn letter_values(dead: &Dead<'_>) -> Vec<Value> {
    let Dead { letter, given_up, .. } = dead;
    let event = &given_up.event;
    let [causation, correlation, depth] = cause_values(event);
    vec![
        letter.id.uuid().into(),
        dead.workspace_id.uuid().into(),
        dead.installation_id.uuid().into(),
        letter.extension_key.as_ref().into(),
        event.id.uuid().into(),
        given_up.key.handler.as_str().into(),
        event.seq.get().into(),
        event.event_key.as_str().into(),
        event.schema_version.as_deref().into(),
        event.actor.as_deref().into(),
        String::from(&*event.payload).into(),
        event.occurred_at.millis().into(),
        event.traceparent.clone().into(),
        causation,
        correlation,
        depth,
        given_up.reason.as_str().into(),
        count(given_up.attempts).into(),
        given_up.last_status.map(i32::from).into(),
        given_up.last_error.clone().into(),
        letter.at.millis().into(),
        "DEAD".into(),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pointsman_domain::{
        attempt::{DeadLetterReason, DeliveryKind},
        event::NewEvent,
        event_key::EventKey,
        handler_name::HandlerName,
        id::{EventId, WorkspaceId},
        lane::{GivenUp, LetterChange},
    };
    use pointsman_journal::LetterCommand;
    use uuid::Uuid;

    use super::*;

    /// The most settlements of one transaction.
    const SETTLEMENTS: u128 = 1024;

    /// The change of a letter whose replay has failed.
    fn returned_letter(number: u128) -> LetterCommand {
        let event = PlatformEvent::record(
            WorkspaceId::new(Uuid::nil()),
            Seq::new(1),
            NewEvent {
                id: EventId::new(Uuid::from_u128(number)),
                event_key: EventKey::parse("a.b").unwrap(),
                schema_version: None,
                actor: None,
                payload: "{}".into(),
                occurred_at: Timestamp::default(),
                traceparent: None,
                cause: None,
            },
        );
        let id = DeadLetterId::new(Uuid::from_u128(number));
        LetterCommand {
            id,
            extension_key: "crm".into(),
            change: LetterChange::GivenUp(Box::new(GivenUp {
                key: DeliveryKey {
                    kind: DeliveryKind::Replay,
                    event_id: event.id,
                    handler: HandlerName::WHOLE,
                },
                event: Arc::new(event),
                settled: Seq::ZERO,
                reason: DeadLetterReason::Gone,
                attempts: 1,
                last_status: None,
                last_error: None,
                dead_letter_id: Some(id),
            })),
            at: Timestamp::default(),
        }
    }

    fn row_of(letter: &LetterCommand) -> Dead<'_> {
        let LetterChange::GivenUp(given_up) = &letter.change else {
            panic!("{letter:?} is not given up");
        };
        Dead {
            workspace_id: WorkspaceId::new(Uuid::nil()),
            installation_id: InstallationId::new(Uuid::nil()),
            letter,
            given_up,
        }
    }

    #[test]
    fn the_largest_transaction_is_few_statements() {
        let returned: Vec<LetterCommand> = (0..SETTLEMENTS).map(returned_letter).collect();
        let installation = |number| InstallationId::new(Uuid::from_u128(number));
        let letter = |number| (DeadLetterId::new(Uuid::from_u128(number)), Timestamp::default());
        let changes = Changes {
            returned: returned.iter().map(row_of).collect(),
            replayed: (0..SETTLEMENTS).map(letter).collect(),
            removed: returned
                .iter()
                .map(|letter| (installation(1), letter.change.key()))
                .collect(),
            swept: (0..SETTLEMENTS)
                .map(|number| (installation(number), Seq::new(1)))
                .collect(),
            ..Changes::default()
        };
        for backend in [DbBackend::Sqlite, DbBackend::Postgres] {
            assert_eq!(statements(&changes, backend).len(), 4 * 8);
        }
    }
}

//! One transaction of the group commit, in multi-row statements.

use std::collections::HashMap;

use pointsman_domain::{
    event::PlatformEvent,
    id::{DeadLetterId, InstallationId},
    lane::DeliveryKey,
    timestamp::Timestamp,
};
use pointsman_journal::{
    command::{LetterCommand, NewLetter, ReturnedLetter, SettleCommand},
    storage::Batch,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};

use crate::{
    effects, idempotency,
    sql::{count, multi_row, numbered, power_of_two_chunks},
};

/// Rows of one INSERT. SQLite compiles the statement per size, so that smaller is not slower there.
const ROWS_PER_STATEMENT: usize = 128;
pub(crate) const EVENT_COLUMNS: usize = 12;
/// What an event fills, for INSERT INTO.
pub(crate) const EVENT_ROW: &str = "platform_event (workspace_id, seq, id, event_key, \
     schema_version, actor, payload, occurred_at, traceparent, causation_id, correlation_id, causation_depth)";
/// What a cursor fills, for INSERT INTO.
pub(crate) const CURSOR_ROW: &str = "ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation, \
     last_success_at, last_failure_at)";
pub(crate) const CURSOR_COLUMNS: usize = 6;
/// A cursor never moves back; what was not attempted leaves the times of the last outcomes as they are.
pub(crate) const MOVE_CURSORS: &str = "ON CONFLICT (installation_id) DO UPDATE SET \
     settled_seq = CASE WHEN excluded.settled_seq > ext_delivery_cursor.settled_seq \
     THEN excluded.settled_seq ELSE ext_delivery_cursor.settled_seq END, generation = excluded.generation, \
     last_success_at = COALESCE(excluded.last_success_at, ext_delivery_cursor.last_success_at), \
     last_failure_at = COALESCE(excluded.last_failure_at, ext_delivery_cursor.last_failure_at)";

pub(crate) async fn write(
    batch: &Batch,
    transaction: &DatabaseTransaction,
    now: Timestamp,
) -> Result<(), DbErr> {
    write_events(batch, transaction).await?;
    idempotency::write_keys(batch, transaction, now).await?;
    write_cursors(batch, transaction).await?;
    write_retries(batch, transaction).await?;
    write_letters(batch, transaction).await?;
    remove_retries(batch, transaction).await?;
    sweep(batch, transaction).await
}

async fn write_events(batch: &Batch, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    insert_events(transaction, &batch.events()).await
}

/// Forgets effects that the cursor has passed, of the installations that have any.
async fn sweep(batch: &Batch, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    for command in &batch.settlements {
        if batch.marked.contains(&command.installation_id) {
            effects::sweep(transaction, command.installation_id, command.settled).await?;
        }
    }
    Ok(())
}

async fn write_cursors(batch: &Batch, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    for chunk in power_of_two_chunks(&batch.cursors(), ROWS_PER_STATEMENT) {
        let mut values: Vec<Value> = Vec::with_capacity(chunk.len() * CURSOR_COLUMNS);
        for cursor in chunk {
            values.push(cursor.installation_id.uuid().into());
            values.push(cursor.workspace_id.uuid().into());
            values.push(cursor.settled.get().into());
            values.push(cursor.generation.into());
            values.push(cursor.last_success_at.map(Timestamp::millis).into());
            values.push(cursor.last_failure_at.map(Timestamp::millis).into());
        }
        let head = format!("INSERT INTO {CURSOR_ROW} VALUES");
        let backend = transaction.get_database_backend();
        let statement = multi_row(backend, &head, CURSOR_COLUMNS, chunk.len(), MOVE_CURSORS, values);
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

async fn write_retries(batch: &Batch, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    // One row may be parked twice in a batch; an INSERT may touch a row only once, and the last counts.
    let mut rows: HashMap<(InstallationId, DeliveryKey), Vec<Value>> = HashMap::new();
    for command in &batch.settlements {
        for parked in &command.park {
            rows.insert(
                (command.installation_id, parked.key),
                vec![
                    command.installation_id.uuid().into(),
                    parked.key.kind.as_str().into(),
                    parked.key.event_id.uuid().into(),
                    parked.key.handler.as_str().into(),
                    command.workspace_id.uuid().into(),
                    parked.seq.get().into(),
                    count(parked.attempts).into(),
                    parked.next_attempt_at.millis().into(),
                    parked.last_status.map(i32::from).into(),
                    parked.last_error.clone().into(),
                ],
            );
        }
    }
    let rows: Vec<Vec<Value>> = rows.into_values().collect();
    for chunk in power_of_two_chunks(&rows, ROWS_PER_STATEMENT) {
        let statement = multi_row(
            transaction.get_database_backend(),
            "INSERT INTO ext_delivery_retry (installation_id, kind, event_id, handler, workspace_id, seq, attempts, \
             next_attempt_at, last_status, last_error) VALUES",
            10,
            chunk.len(),
            "ON CONFLICT (installation_id, kind, event_id, handler) DO UPDATE SET attempts = excluded.attempts, \
             next_attempt_at = excluded.next_attempt_at, last_status = excluded.last_status, \
             last_error = excluded.last_error",
            chunk.concat(),
        );
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

async fn remove_retries(batch: &Batch, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    let mut keys: Vec<(InstallationId, DeliveryKey)> = Vec::new();
    for command in &batch.settlements {
        let letters = command.letters.iter().map(LetterCommand::key);
        keys.extend(
            command
                .remove
                .iter()
                .copied()
                .chain(letters)
                .map(|key| (command.installation_id, key)),
        );
    }
    for chunk in power_of_two_chunks(&keys, ROWS_PER_STATEMENT) {
        let mut values: Vec<Value> = Vec::with_capacity(chunk.len() * 4);
        for (installation, key) in chunk {
            values.push(installation.uuid().into());
            values.push(key.kind.as_str().into());
            values.push(key.event_id.uuid().into());
            values.push(key.handler.as_str().into());
        }
        let statement = multi_row(
            transaction.get_database_backend(),
            "DELETE FROM ext_delivery_retry WHERE (installation_id, kind, event_id, handler) IN (VALUES",
            4,
            chunk.len(),
            ")",
            values,
        );
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

async fn write_letters(batch: &Batch, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for command in &batch.settlements {
        for letter in &command.letters {
            match letter {
                LetterCommand::Write(letter) => rows.push(letter_values(command, letter)),
                LetterCommand::Return(letter) => return_letter(transaction, letter).await?,
                LetterCommand::Replayed { id, at, .. } => mark_replayed(transaction, *id, *at).await?,
            }
        }
    }
    for chunk in power_of_two_chunks(&rows, ROWS_PER_STATEMENT) {
        let statement = multi_row(
            transaction.get_database_backend(),
            "INSERT INTO dead_letter_event (id, workspace_id, installation_id, extension_key, event_id, handler, \
             seq, event_key, schema_version, actor, payload, occurred_at, traceparent, causation_id, \
             correlation_id, causation_depth, reason, attempts, last_status, last_error, failed_at, status) VALUES",
            22,
            chunk.len(),
            "ON CONFLICT (installation_id, event_id, handler) DO NOTHING",
            chunk.concat(),
        );
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

/// Writes the events at their places.
pub(crate) async fn insert_events(
    transaction: &DatabaseTransaction,
    events: &[&PlatformEvent],
) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    for chunk in power_of_two_chunks(events, ROWS_PER_STATEMENT) {
        let mut values = Vec::with_capacity(chunk.len() * EVENT_COLUMNS);
        for event in chunk {
            values.extend(event_values(event));
        }
        let head = format!("INSERT INTO {EVENT_ROW} VALUES");
        let statement = multi_row(backend, &head, EVENT_COLUMNS, chunk.len(), "", values);
        transaction.execute_raw(statement).await?;
    }
    Ok(())
}

/// Removes the row of one delivery from the retry table, where it has one.
pub(crate) async fn remove_retry(
    transaction: &DatabaseTransaction,
    installation: InstallationId,
    key: DeliveryKey,
) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let [id, kind, event, handler] = numbered(backend);
    let sql = format!(
        "DELETE FROM ext_delivery_retry WHERE installation_id = {id} AND kind = {kind} AND event_id = {event} \
         AND handler = {handler}"
    );
    let values: [Value; 4] = [
        installation.uuid().into(),
        key.kind.as_str().into(),
        key.event_id.uuid().into(),
        key.handler.as_str().into(),
    ];
    transaction
        .execute_raw(sea_orm::Statement::from_sql_and_values(backend, sql, values))
        .await
        .map(drop)
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

fn letter_values(command: &SettleCommand, letter: &NewLetter) -> Vec<Value> {
    let event = &letter.event;
    let [causation, correlation, depth] = cause_values(event);
    vec![
        letter.id.uuid().into(),
        command.workspace_id.uuid().into(),
        command.installation_id.uuid().into(),
        letter.extension_key.as_ref().into(),
        event.id.uuid().into(),
        letter.key.handler.as_str().into(),
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
        letter.reason.as_str().into(),
        count(letter.attempts).into(),
        letter.last_status.map(i32::from).into(),
        letter.last_error.clone().into(),
        letter.failed_at.millis().into(),
        "DEAD".into(),
    ]
}

async fn return_letter(transaction: &DatabaseTransaction, letter: &ReturnedLetter) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let [attempts, reason, status, error, at, id] = numbered(backend);
    let sql = format!(
        "UPDATE dead_letter_event SET status = 'DEAD', attempts = {attempts}, reason = {reason}, \
         last_status = {status}, last_error = {error}, failed_at = {at} WHERE status = 'REPLAYING' AND id = {id}"
    );
    let values: [Value; 6] = [
        count(letter.attempts).into(),
        letter.reason.as_str().into(),
        letter.last_status.map(i32::from).into(),
        letter.last_error.clone().into(),
        letter.failed_at.millis().into(),
        letter.id.uuid().into(),
    ];
    let statement = sea_orm::Statement::from_sql_and_values(backend, sql, values);
    transaction.execute_raw(statement).await.map(drop)
}

pub(crate) async fn mark_replayed(
    transaction: &DatabaseTransaction,
    id: DeadLetterId,
    at: Timestamp,
) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let [replayed_at, letter] = numbered(backend);
    let sql = format!(
        "UPDATE dead_letter_event SET status = 'REPLAYED', replayed_at = {replayed_at}, attempts = attempts + 1 \
         WHERE status = 'REPLAYING' AND id = {letter}"
    );
    let values = [at.millis().into(), id.uuid().into()];
    transaction
        .execute_raw(sea_orm::Statement::from_sql_and_values(backend, sql, values))
        .await
        .map(drop)
}

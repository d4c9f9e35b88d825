//! One transaction of the group commit: events and settlements, in multi-row statements.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Value};

use super::{
    command::{Append, AttemptRecord, LetterCommand, NewLetter, ReturnedLetter, SettleCommand},
    effects,
    sql::{multi_row, power_of_two_chunks},
};
use pointsman_domain::{
    attempt::AttemptOutcome,
    event::PlatformEvent,
    id::{DeadLetterId, InstallationId, WorkspaceId},
    lane::DeliveryKey,
    seq::Seq,
    timestamp::Timestamp,
};

/// Rows of one INSERT. SQLite compiles the statement per size, so that smaller is not slower there.
const ROWS_PER_STATEMENT: usize = 128;
pub(super) const EVENT_COLUMNS: usize = 12;
/// What an event fills, for INSERT INTO.
pub(super) const EVENT_ROW: &str = "platform_event (workspace_id, seq, id, event_key, \
     schema_version, actor, payload, occurred_at, traceparent, causation_id, correlation_id, causation_depth)";
/// What a cursor fills, for INSERT INTO.
pub(super) const CURSOR_ROW: &str = "ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation, \
     last_success_at, last_failure_at)";
pub(super) const CURSOR_COLUMNS: usize = 6;
/// A cursor never moves back; what was not attempted leaves the times of the last outcomes as they are.
pub(super) const MOVE_CURSORS: &str = "ON CONFLICT (installation_id) DO UPDATE SET \
     settled_seq = CASE WHEN excluded.settled_seq > ext_delivery_cursor.settled_seq \
     THEN excluded.settled_seq ELSE ext_delivery_cursor.settled_seq END, generation = excluded.generation, \
     last_success_at = COALESCE(excluded.last_success_at, ext_delivery_cursor.last_success_at), \
     last_failure_at = COALESCE(excluded.last_failure_at, ext_delivery_cursor.last_failure_at)";

/// What one transaction takes.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) appends: Vec<StagedAppend>,
    pub(crate) settlements: Vec<SettleCommand>,
    /// The installations of which effects are marked as done.
    pub(crate) marked: HashSet<InstallationId>,
    /// It is written for the second time, and its publishers wait until then.
    pub(super) again_until: Option<Instant>,
}

/// Where the cursor of an installation goes, and what became of the attempts that are settled with it.
pub(super) struct Cursor {
    pub(super) installation_id: InstallationId,
    pub(super) workspace_id: WorkspaceId,
    pub(super) settled: Seq,
    pub(super) generation: i64,
    pub(super) last_success_at: Option<Timestamp>,
    pub(super) last_failure_at: Option<Timestamp>,
}

/// An append whose events have their places, provided that the batch commits.
pub(crate) struct StagedAppend {
    pub(crate) append: Append,
    pub(crate) events: Vec<Arc<PlatformEvent>>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.settlements.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.appends.len() + self.settlements.len()
    }

    /// Gives the events their places after `heads`, which are left as they are: they move at commit.
    /// Returns the heads as they will be.
    pub(super) fn stage(&mut self, heads: &HashMap<WorkspaceId, Seq>) -> HashMap<WorkspaceId, Seq> {
        let mut staged: HashMap<WorkspaceId, Seq> = HashMap::new();
        for StagedAppend { append, events } in &mut self.appends {
            let head = staged
                .entry(append.workspace_id)
                .or_insert_with(|| heads.get(&append.workspace_id).copied().unwrap_or(Seq::ZERO));
            events.clear();
            for event in &append.events {
                *head = head.next();
                events.push(append.place(event, *head));
            }
        }
        staged
    }

    /// Takes the first half of the appends, or where there is at most one, of the settlements.
    pub(super) fn split(mut self) -> (Self, Self) {
        let appends = self.appends.split_off(self.appends.len() / 2);
        let settlements = self.settlements.split_off(self.settlements.len() / 2);
        let again_until = self.again_until;
        if self.appends.is_empty() && self.settlements.is_empty() {
            // One of each at the most: part them by kind.
            return (
                Self {
                    appends,
                    again_until,
                    ..Self::default()
                },
                Self {
                    settlements,
                    ..Self::default()
                },
            );
        }
        let rest = Self {
            appends,
            settlements,
            again_until,
            ..Self::default()
        };
        (self, rest)
    }

    pub(super) async fn write(&self, transaction: &DatabaseTransaction, now: Timestamp) -> Result<(), DbErr> {
        self.write_events(transaction).await?;
        self.write_keys(transaction, now).await?;
        self.write_cursors(transaction).await?;
        self.write_retries(transaction).await?;
        self.write_letters(transaction).await?;
        self.remove_retries(transaction).await?;
        self.sweep(transaction).await
    }

    /// Whether it consists of events and cursors alone, as most do.
    pub(super) fn is_plain(&self) -> bool {
        self.marked.is_empty()
            && self
                .appends
                .iter()
                .all(|staged| staged.append.idempotency.is_none())
            && self.settlements.iter().all(|command| {
                command.park.is_empty() && command.remove.is_empty() && command.letters.is_empty()
            })
    }

    pub(super) fn events(&self) -> Vec<&PlatformEvent> {
        self.appends
            .iter()
            .flat_map(|staged| staged.events.iter().map(Arc::as_ref))
            .collect()
    }

    /// Where the cursors go. A later settlement of the same installation stands further on.
    pub(super) fn cursors(&self) -> Vec<Cursor> {
        let mut cursors: HashMap<InstallationId, Cursor> = HashMap::new();
        for command in &self.settlements {
            let cursor = cursors.entry(command.installation_id).or_insert(Cursor {
                installation_id: command.installation_id,
                workspace_id: command.workspace_id,
                settled: command.settled,
                generation: command.generation,
                last_success_at: None,
                last_failure_at: None,
            });
            cursor.settled = cursor.settled.max(command.settled);
            for attempt in &command.attempts {
                cursor.note(attempt);
            }
        }
        cursors.into_values().collect()
    }

    async fn write_events(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        insert_events(transaction, &self.events()).await
    }

    /// Forgets effects that the cursor has passed, of the installations that have any.
    async fn sweep(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        for command in &self.settlements {
            if self.marked.contains(&command.installation_id) {
                effects::sweep(transaction, command.installation_id, command.settled).await?;
            }
        }
        Ok(())
    }

    async fn write_cursors(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        for chunk in power_of_two_chunks(&self.cursors(), ROWS_PER_STATEMENT) {
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

    async fn write_retries(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        // One row may be parked twice in a batch; an INSERT may touch a row only once, and the last counts.
        let mut rows: HashMap<(InstallationId, DeliveryKey), Vec<Value>> = HashMap::new();
        for command in &self.settlements {
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

    async fn remove_retries(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let mut keys: Vec<(InstallationId, DeliveryKey)> = Vec::new();
        for command in &self.settlements {
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

    async fn write_letters(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        let mut rows: Vec<Vec<Value>> = Vec::new();
        for command in &self.settlements {
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
}

impl Cursor {
    fn note(&mut self, attempt: &AttemptRecord) {
        let last = match attempt.outcome {
            AttemptOutcome::Delivered => &mut self.last_success_at,
            _ => &mut self.last_failure_at,
        };
        *last = (*last).max(Some(attempt.attempted_at));
    }
}

impl LetterCommand {
    pub(crate) fn key(&self) -> DeliveryKey {
        match self {
            Self::Write(letter) => letter.key,
            Self::Return(letter) => letter.key,
            Self::Replayed { key, .. } => *key,
        }
    }
}

/// Writes the events at their places.
pub(super) async fn insert_events(
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
pub(super) async fn remove_retry(
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

pub(super) async fn mark_replayed(
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

/// The first `N` placeholders in the spelling of the engine.
pub(super) fn numbered<const N: usize>(backend: DbBackend) -> [&'static str; N] {
    const NUMBERED: [&str; 8] = ["$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8"];
    std::array::from_fn(|index| {
        if backend == DbBackend::Postgres {
            NUMBERED[index]
        } else {
            "?"
        }
    })
}

/// Attempts fit the column: their number is bounded by the retry schedule.
pub(super) fn count(attempts: u32) -> i32 {
    i32::try_from(attempts).unwrap_or(i32::MAX)
}

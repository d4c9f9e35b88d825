//! One transaction of effects.

use std::{collections::HashMap, sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait, Value};

use super::{
    bounds::Bounds,
    work::{Worked, work},
};
use crate::{apply::apply, fault::Fault, sql::numbered, transaction::WorkError};
use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::DeliveryKind,
    event::PlatformEvent,
    id::{InstallationId, WorkspaceId},
    seq::Seq,
};
use pointsman_journal::{
    changes::Changes,
    effects::{EffectCommand, EffectEnd, EffectOf, StagedEffect},
};

/// After so much work a transaction takes no other effect.
const ENOUGH: Duration = Duration::from_millis(25);
/// The writer's own bound, to be restored before the commit.
pub(super) const RESTORE_TIMEOUT: &str = "SET LOCAL statement_timeout = '6s'";

/// Why a transaction of effects is not committed.
#[derive(Debug)]
pub(crate) enum EffectStepError {
    /// It was lost to one of its effects, and nothing of it is left; their ends say so.
    Lost,
    /// The work of one of them does not come back, and has the connection.
    Abandoned,
    Database(DbErr),
}

impl From<DbErr> for EffectStepError {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl WorkError for EffectStepError {
    fn in_the_work(self) -> Option<Self> {
        match self {
            Self::Lost => Some(self),
            Self::Database(ref error) if Fault::of(error) == Fault::Data => Some(self),
            Self::Abandoned | Self::Database(_) => None,
        }
    }

    fn has_the_connection(&self) -> bool {
        matches!(self, Self::Abandoned)
    }
}

/// Runs the effects one after the other, until there was enough work; those left have no end. Gives their events
/// places after `heads`.
pub(crate) async fn run(
    transaction: &DatabaseTransaction,
    effects: &mut [StagedEffect],
    heads: &mut HashMap<WorkspaceId, Seq>,
    bounds: &Bounds<'_>,
) -> Result<(), EffectStepError> {
    let start = bounds.clock.instant();
    let postgres = transaction.get_database_backend() == DbBackend::Postgres;
    if postgres {
        let patience = effects.iter().map(|effect| bounds.patience(effect)).max();
        limit_statements(transaction, patience.unwrap_or(bounds.limit)).await?;
    }
    for index in 0..effects.len() {
        if bounds.clock.elapsed(start) > ENOUGH {
            break;
        }
        let run = run_one(transaction, &mut effects[index], heads, bounds).await;
        if matches!(run, Err(EffectStepError::Lost | EffectStepError::Abandoned)) {
            for other in effects.iter_mut().filter(|effect| effect.is_committed()) {
                other.end = Some(EffectEnd::Again);
            }
        }
        run?;
    }
    if postgres {
        transaction.execute_unprepared(RESTORE_TIMEOUT).await?;
    }
    Ok(())
}

/// Bounds every statement to come, on PostgreSQL.
pub(super) async fn limit_statements(
    transaction: &DatabaseTransaction,
    limit: Duration,
) -> Result<(), DbErr> {
    // None means no bound there.
    let sql = format!("SET LOCAL statement_timeout = {}", limit.as_millis().max(1));
    transaction.execute_unprepared(&sql).await.map(drop)
}

async fn run_one(
    transaction: &DatabaseTransaction,
    effect: &mut StagedEffect,
    heads: &mut HashMap<WorkspaceId, Seq>,
    bounds: &Bounds<'_>,
) -> Result<(), EffectStepError> {
    let savepoint = Arc::new(transaction.begin().await?);
    let patience = bounds.patience(effect);
    let start = bounds.clock.instant();
    let attempted = attempt(&savepoint, effect, heads, bounds).await;
    effect.took = bounds.clock.elapsed(start);
    let savepoint = Arc::try_unwrap(savepoint);
    match (attempted, savepoint) {
        // The work is still at it.
        (_, Err(_)) => {
            effect.end = Some(EffectEnd::TimedOut);
            bounds.thread.leave();
            bounds.guard.condemn();
            Err(EffectStepError::Abandoned)
        }
        (Ok(()), Ok(savepoint)) => {
            match savepoint.commit().await {
                Ok(()) => {}
                // It is rolled back to where it began; the effects beside it do not notice.
                Err(error) if Fault::of(&error) == Fault::Ignored => {
                    effect.events.clear();
                    effect.end = Some(ignored(
                        &error,
                        effect.took >= patience && patience < bounds.limit,
                    ));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
            if let Some(last) = effect.events.last() {
                heads.insert(effect.command.workspace_id, last.seq);
            }
            let event_ids = effect.events.iter().map(|event| event.id).collect();
            effect.end = Some(EffectEnd::Committed { event_ids });
            Ok(())
        }
        (Err(Stop::Ended(end)), Ok(savepoint)) => {
            effect.events.clear();
            effect.end = Some(end);
            undo(transaction, savepoint).await
        }
        (Err(Stop::Database(error)), Ok(_)) => Err(error.into()),
    }
}

/// How an effect ends that has gone on after an error. Where the error may be that a statement had no time in a
/// transaction that others share, the effect is run again, with the time it needs.
pub(super) fn ignored(error: &DbErr, had_no_time: bool) -> EffectEnd {
    if had_no_time {
        return EffectEnd::Again;
    }
    log::error!(error:%; "an effect has gone on after an error of the database; nothing of it is left");
    EffectEnd::Refused
}

/// Why the work of an effect is undone.
pub(super) enum Stop {
    Ended(EffectEnd),
    /// The connection is in doubt.
    Database(DbErr),
}

impl From<DbErr> for Stop {
    /// An event or a mark that the database refuses is the effect's own fault. One that has to wait for longer than
    /// the work may take is the fault of nobody.
    fn from(error: DbErr) -> Self {
        match Fault::of(&error) {
            Fault::Cancelled => Self::Ended(EffectEnd::Again),
            Fault::Data => {
                log::error!(error:%; "the database refuses an effect");
                Self::Ended(EffectEnd::Refused)
            }
            Fault::Ignored | Fault::Connection => Self::Database(error),
        }
    }
}

/// The end of the delivery and the events first, the author's work last: should it commit in spite of all, then
/// everything that belongs together; should it roll back, then everything, too.
async fn attempt(
    savepoint: &Arc<DatabaseTransaction>,
    effect: &mut StagedEffect,
    heads: &HashMap<WorkspaceId, Seq>,
    bounds: &Bounds<'_>,
) -> Result<(), Stop> {
    let head = heads.get(&effect.command.workspace_id).copied();
    effect.events = settle(
        savepoint,
        &mut effect.command,
        head.unwrap_or(Seq::ZERO),
        bounds.clock,
    )
    .await?;
    let patience = bounds.patience(effect);
    if let Some(theirs) = effect.command.work.take() {
        match work(savepoint, theirs, patience, bounds).await {
            Worked::Done => {}
            Worked::Ended(end) => return Err(Stop::Ended(end)),
        }
    }
    Ok(())
}

/// Writes the end of the delivery and the events, whose places come after `head`.
pub(super) async fn settle(
    transaction: &DatabaseTransaction,
    command: &mut EffectCommand,
    mut head: Seq,
    clock: Clock,
) -> Result<Vec<Arc<PlatformEvent>>, Stop> {
    if let Some(settles) = &command.settles
        && !mark(transaction, settles).await?
    {
        return Err(Stop::Ended(EffectEnd::AlreadyDone));
    }
    let mut events = Vec::with_capacity(command.events.len());
    for event in &command.events {
        head = head.next();
        let placed = PlatformEvent::record(command.workspace_id, head, event.clone());
        events.push(Arc::new(placed));
    }
    let mut changes = Changes {
        events: events.iter().map(Arc::as_ref).collect(),
        ..Changes::default()
    };
    if let Some(settles) = &command.settles {
        changes.removed.push((settles.installation_id, settles.key));
        if let (DeliveryKind::Replay, Some(letter)) = (settles.key.kind, settles.dead_letter_id) {
            changes.replayed.push((letter, clock.now()));
        }
    }
    apply(transaction, &changes).await?;
    Ok(events)
}

/// Rolls back to the savepoint.
async fn undo(
    transaction: &DatabaseTransaction,
    savepoint: DatabaseTransaction,
) -> Result<(), EffectStepError> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        return Ok(savepoint.rollback().await?);
    }
    // SQLite has rolled back everything where it interrupted a write
    // (sqlite.org/c3ref/interrupt.html), or the work did: then there is no savepoint any more. The driver believes
    // in both, so it is given both, to be rolled back.
    if savepoint.execute_unprepared(TO_SAVEPOINT).await.is_ok() {
        return Ok(savepoint.rollback().await?);
    }
    savepoint
        .execute_unprepared("BEGIN IMMEDIATE; SAVEPOINT _sqlx_savepoint_1")
        .await?;
    savepoint.rollback().await?;
    Err(EffectStepError::Lost)
}

/// As the driver names it; the statement fails where there is none.
const TO_SAVEPOINT: &str = "ROLLBACK TO SAVEPOINT _sqlx_savepoint_1";

/// Marks the delivery as done; false where it is marked already.
async fn mark(savepoint: &DatabaseTransaction, settles: &EffectOf) -> Result<bool, DbErr> {
    let backend = savepoint.get_database_backend();
    let [installation, kind, event, handler, seq] = numbered(backend);
    let sql = format!(
        "INSERT INTO ext_delivery_done (installation_id, kind, event_id, handler, seq) \
         VALUES ({installation}, {kind}, {event}, {handler}, {seq}) ON CONFLICT DO NOTHING"
    );
    let values: [Value; 5] = [
        settles.installation_id.uuid().into(),
        settles.key.kind.as_str().into(),
        settles.key.event_id.uuid().into(),
        settles.key.handler.as_str().into(),
        settles.seq.get().into(),
    ];
    let inserted = savepoint
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    Ok(inserted.rows_affected() > 0)
}

/// Which of the deliveries are marked as done.
pub(crate) async fn are_done<C: ConnectionTrait>(
    connection: &C,
    deliveries: &[EffectOf],
) -> Result<Vec<bool>, DbErr> {
    let backend = connection.get_database_backend();
    let [installation, kind, event, handler] = numbered(backend);
    let sql = format!(
        "SELECT seq FROM ext_delivery_done WHERE installation_id = {installation} AND kind = {kind} \
         AND event_id = {event} AND handler = {handler}"
    );
    let mut done = Vec::with_capacity(deliveries.len());
    for of in deliveries {
        let values: [Value; 4] = [
            of.installation_id.uuid().into(),
            of.key.kind.as_str().into(),
            of.key.event_id.uuid().into(),
            of.key.handler.as_str().into(),
        ];
        let statement = Statement::from_sql_and_values(backend, sql.clone(), values);
        done.push(connection.query_one_raw(statement).await?.is_some());
    }
    Ok(done)
}

/// Whether effects of the installation are marked as done.
pub(crate) async fn has_marks<C: ConnectionTrait>(
    connection: &C,
    installation: InstallationId,
) -> Result<bool, DbErr> {
    let backend = connection.get_database_backend();
    let [id] = numbered(backend);
    let sql = format!("SELECT seq FROM ext_delivery_done WHERE installation_id = {id} LIMIT 1");
    let statement = Statement::from_sql_and_values(backend, sql, [installation.uuid().into()]);
    Ok(connection.query_one_raw(statement).await?.is_some())
}

//! A transaction that runs several effects.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, Value};
use uuid::Uuid;

use super::{
    bounds::Bounds,
    work::{Worked, work},
};
use crate::{
    apply::apply,
    fault::Fault,
    marker,
    session::restore,
    sql::{numbered, rows_of},
    transaction::WorkError,
    work_guard::Working,
};
use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::DeliveryKind,
    event::PlatformEvent,
    id::{InstallationId, WorkspaceId},
    seq::Seq,
};
use pointsman_journal::{
    changes::Changes,
    effects::{EffectEnd, EffectOf, StagedEffect},
};

/// A transaction that has run for this long starts no further effect.
const TRANSACTION_BUDGET: Duration = Duration::from_millis(25);
/// Restores the session's own time-out, for the commit.
const RESTORE_TIMEOUT: &str = "RESET statement_timeout;";

/// Why a transaction of effects is not committed.
#[derive(Debug)]
pub(crate) enum EffectStepError {
    /// One of its effects, or the interruption of one, has rolled back the whole transaction. The ends of the effects
    /// say so.
    Lost,
    /// The work of one of the effects does not end, and still uses the connection.
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
}

/// The statements that come before the commit of a transaction of effects.
pub(crate) const fn before_commit(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => RESTORE_TIMEOUT,
        _ => "",
    }
}

/// Runs the effects one after the other until the transaction has taken [`TRANSACTION_BUDGET`]; the others get no end.
/// Gives the events positions after `heads`. Each effect is what is done between two renewals of the marker.
pub(crate) async fn run(
    transaction: &Arc<DatabaseTransaction>,
    effects: &mut [StagedEffect],
    heads: &mut HashMap<WorkspaceId, Seq>,
    bounds: &Bounds<'_>,
) -> Result<(), EffectStepError> {
    let start = bounds.clock.instant();
    let postgres = transaction.get_database_backend() == DbBackend::Postgres;
    let mut limited_to = None;
    for index in 0..effects.len() {
        if index > 0 && bounds.clock.elapsed(start) > TRANSACTION_BUDGET {
            break;
        }
        let patience = bounds.patience(&effects[index]);
        let limit = if postgres {
            statement_limit(patience)
        } else {
            String::new()
        };
        match limited_to.replace(patience) {
            None => marker::set(transaction, &limit).await?,
            Some(limited_to) if limited_to == patience => {}
            Some(_) => marker::renew(transaction, &limit).await?,
        }
        let run = run_one(transaction, &mut effects[index], heads, &limit, bounds).await;
        if matches!(run, Err(EffectStepError::Lost | EffectStepError::Abandoned)) {
            for other in effects.iter_mut().filter(|effect| effect.is_committed()) {
                other.end = Some(EffectEnd::Again);
            }
        }
        run?;
    }
    Ok(())
}

/// The statement that sets the time-out of all later statements of the transaction, on PostgreSQL.
pub(super) fn statement_limit(limit: Duration) -> String {
    // 0 would mean no time-out.
    format!("SET LOCAL statement_timeout = {};", limit.as_millis().max(1))
}

async fn run_one(
    transaction: &Arc<DatabaseTransaction>,
    effect: &mut StagedEffect,
    heads: &mut HashMap<WorkspaceId, Seq>,
    limit: &str,
    bounds: &Bounds<'_>,
) -> Result<(), EffectStepError> {
    let patience = bounds.patience(effect);
    let start = bounds.clock.instant();
    effect.is_begun = true;
    let mut working = None;
    let attempted = attempt(transaction, effect, heads, bounds, &mut working).await;
    effect.took = bounds.clock.elapsed(start);
    if Arc::strong_count(transaction) > 1 {
        // The work still runs, and uses the connection.
        effect.end = Some(EffectEnd::TimedOut);
        bounds.thread.abandon();
        bounds.guard.condemn();
        return Err(EffectStepError::Abandoned);
    }
    let late = |took: Duration| match took >= patience {
        false => None,
        true if patience < bounds.limit => Some(EffectEnd::Again),
        true => Some(EffectEnd::TimedOut),
    };
    let (end, undone) = match attempted {
        Ok(()) => {
            let settings = match effect.has_work {
                true => format!("{} {limit}", restore(transaction.get_database_backend())),
                false => String::new(),
            };
            let renewed = marker::renew(transaction, &settings).await;
            // Together with the statement that the work may have left behind.
            effect.took = bounds.clock.elapsed(start);
            let Err(error) = renewed else {
                if let Some(last) = effect.events.last() {
                    heads.insert(effect.command.workspace_id, last.seq);
                }
                let event_ids = effect.events.iter().map(|event| event.id).collect();
                effect.end = Some(EffectEnd::Committed { event_ids });
                effect.is_suspect = false;
                return Ok(());
            };
            // An error that the work has ignored, or that of a statement that it has dropped: only this effect is
            // rolled back.
            let undone = undo(transaction).await;
            (end_of_unkept(&error, undone.is_ok(), late(effect.took)), undone)
        }
        Err(Stop::Ended(end)) => {
            let undone = undo(transaction).await;
            let end = match &undone {
                Err(EffectStepError::Database(error)) => end_not_undone(end, error),
                _ => end,
            };
            (end, undone)
        }
        Err(Stop::Cancelled) => {
            let undone = undo(transaction).await;
            let end = late(effect.took).unwrap_or(EffectEnd::Again);
            (end, undone)
        }
        Err(Stop::NotBegun) => {
            effect.events.clear();
            effect.is_begun = false;
            return undo(transaction).await;
        }
        Err(Stop::Database(error)) => return Err(error.into()),
    };
    effect.events.clear();
    effect.end = Some(end);
    effect.is_suspect &= undone.is_err();
    undone
}

/// The end of an effect whose work is done and cannot be kept because of this error. `late` is the end of one that has
/// taken longer than its time, which may have led to the error.
pub(super) fn end_of_unkept(error: &DbErr, is_undone: bool, late: Option<EffectEnd>) -> EffectEnd {
    let has_no_transaction = marker::is_missing(error);
    if !is_undone && !has_no_transaction {
        log::error!(error:%; "the connection is lost after the work of an effect");
        return EffectEnd::Unavailable;
    }
    if let Some(late) = late {
        return late;
    }
    if has_no_transaction {
        log::error!(error:%; "an effect has ended the transaction that it is part of");
        return EffectEnd::EndedTransaction;
    }
    log::error!(error:%; "an effect has gone on after an error of the database; nothing of it is left");
    EffectEnd::Refused
}

/// Why the work of an effect is undone.
pub(super) enum Stop {
    Ended(EffectEnd),
    /// The end of the delivery, or an event, took longer than the time-out.
    Cancelled,
    /// Its work has not begun, and is tried in another transaction.
    NotBegun,
    /// The connection is in doubt.
    Database(DbErr),
}

impl From<DbErr> for Stop {
    /// An event or a mark that the database refuses is the fault of the effect.
    fn from(error: DbErr) -> Self {
        match Fault::of(&error) {
            Fault::Cancelled => Self::Cancelled,
            Fault::Data => {
                log::error!(error:%; "the database refuses an effect");
                Self::Ended(EffectEnd::Refused)
            }
            Fault::Aborted | Fault::Connection => Self::Database(error),
        }
    }
}

/// Writes the end of the delivery and the events first, and runs the author's work last. Work that commits or rolls
/// back the transaction itself, which it must not, then commits or rolls back all of it together.
async fn attempt<'a>(
    transaction: &Arc<DatabaseTransaction>,
    effect: &mut StagedEffect,
    heads: &HashMap<WorkspaceId, Seq>,
    bounds: &Bounds<'a>,
    working: &mut Option<Working<'a>>,
) -> Result<(), Stop> {
    let patience = bounds.patience(effect);
    let head = heads.get(&effect.command.workspace_id).copied();
    effect.events = settle(transaction, effect, head.unwrap_or(Seq::ZERO), bounds.clock).await?;
    if let Some(effect_work) = effect.command.work.take() {
        effect.is_suspect = true;
        match work(transaction, effect_work, patience, bounds, working).await {
            Worked::Done => {}
            Worked::Ended(end) => return Err(Stop::Ended(end)),
            Worked::NotBegun(effect_work) => {
                effect.is_suspect = false;
                effect.command.work = Some(effect_work);
                return Err(Stop::NotBegun);
            }
        }
    }
    Ok(())
}

/// Writes the end of the delivery and the events, whose positions come after `head`, with the mark of the workspace.
pub(super) async fn settle(
    transaction: &DatabaseTransaction,
    effect: &mut StagedEffect,
    mut head: Seq,
    clock: Clock,
) -> Result<Vec<Arc<PlatformEvent>>, Stop> {
    let command = &mut effect.command;
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
    if effect.marks_due {
        changes.due.insert(command.workspace_id);
    }
    if let Some(settles) = &command.settles {
        changes.removed.push((settles.installation_id, settles.key));
        if let (DeliveryKind::Replay, Some(letter)) = (settles.key.kind, settles.dead_letter_id) {
            changes.replayed.push((letter, clock.now()));
        }
    }
    apply(transaction, &changes).await?;
    Ok(events)
}

/// The end of an effect that could not be rolled back because of this error.
pub(super) fn end_not_undone(end: EffectEnd, error: &DbErr) -> EffectEnd {
    if marker::is_missing(error) {
        return end;
    }
    end_on_a_lost_connection(end)
}

/// The end of an effect whose connection is lost. What the work returned as its failure is probably the loss: nothing
/// of it is left, and it may be run again.
pub(super) fn end_on_a_lost_connection(end: EffectEnd) -> EffectEnd {
    match end {
        EffectEnd::Failed(_) | EffectEnd::Panicked => EffectEnd::Unavailable,
        end => end,
    }
}

/// Undoes the effect. The transaction is open after that, or it fails.
async fn undo(transaction: &DatabaseTransaction) -> Result<(), EffectStepError> {
    let Err(error) = marker::roll_back(transaction).await else {
        return Ok(());
    };
    // SQLite rolls back the whole transaction when it interrupts a write (sqlite.org/c3ref/interrupt.html), and where a
    // statement or a trigger says so (RAISE(ROLLBACK), ON CONFLICT ROLLBACK). The driver may have done so, too. Mostly
    // the driver still counts a transaction, so one is begun anew for it to roll back.
    let is_sqlite = transaction.get_database_backend() == DbBackend::Sqlite;
    if is_sqlite && marker::is_missing(&error) {
        marker::set(transaction, "BEGIN IMMEDIATE;").await?;
        return Err(EffectStepError::Lost);
    }
    Err(error.into())
}

/// Marks the delivery as done; false where it is marked already.
async fn mark(transaction: &DatabaseTransaction, settles: &EffectOf) -> Result<bool, DbErr> {
    let backend = transaction.get_database_backend();
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
    let inserted = transaction
        .execute_raw(Statement::from_sql_and_values(backend, sql, values))
        .await?;
    Ok(inserted.rows_affected() > 0)
}

/// Which of the deliveries are marked as done.
pub(crate) async fn are_done<C: ConnectionTrait>(
    connection: &C,
    deliveries: &[EffectOf],
) -> Result<Vec<bool>, DbErr> {
    let marked = rows_of(
        deliveries,
        connection.get_database_backend(),
        "SELECT installation_id, kind, event_id, handler FROM ext_delivery_done \
         WHERE (installation_id, kind, event_id, handler) IN (VALUES",
        ")",
        |of| {
            vec![
                of.installation_id.uuid().into(),
                of.key.kind.as_str().into(),
                of.key.event_id.uuid().into(),
                of.key.handler.as_str().into(),
            ]
        },
    );
    let mut done: HashSet<(Uuid, String, Uuid, String)> = HashSet::new();
    for statement in marked {
        for row in connection.query_all_raw(statement).await? {
            done.insert((
                row.try_get("", "installation_id")?,
                row.try_get("", "kind")?,
                row.try_get("", "event_id")?,
                row.try_get("", "handler")?,
            ));
        }
    }
    let key = |of: &EffectOf| {
        (
            of.installation_id.uuid(),
            of.key.kind.as_str().to_owned(),
            of.key.event_id.uuid(),
            of.key.handler.as_str().to_owned(),
        )
    };
    Ok(deliveries.iter().map(|of| done.contains(&key(of))).collect())
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

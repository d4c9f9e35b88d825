//! Slow effects beside the writer, on PostgreSQL: the work runs on a second connection. Only the finish of the effect
//! takes the writer's time, about one commit.
//!
//! The writer orders the finish, that is, the end of the delivery and the events, because it assigns the positions in
//! the log one after the other. Here the finish is written after the work, not before it: work that commits the
//! transaction itself commits nothing of the finish, and ends as [`EffectEnd::EndedTransaction`].

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use sea_orm::{DatabaseConnection, DbBackend, DbErr, TransactionTrait};
use tokio::{sync::Mutex, time::timeout};

use super::{
    bounds::Bounds,
    sql::{Stop, end_of_unkept, end_on_a_lost_connection, settle, statement_limit},
    threads::EffectThread,
    work::{Worked, work},
};
use crate::{
    claim,
    database::DatabaseUrl,
    fault::is_refused_commit,
    marker,
    open_error::OpenError,
    session::{restore, set_timeouts},
    transaction::{EndError, Open},
    work_guard::WorkGuard,
};
use pointsman_clock::Clock;
use pointsman_domain::seq::Seq;
use pointsman_journal::{
    effects::{EffectEnd, EffectWork, StagedEffect},
    storage::{FinishedEffect, PreparedEffect, SlowEffects},
};

/// How long the server may take to begin a transaction, to roll it back or to close the connection.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The second connection, opened at its first use. It runs one effect at a time.
pub(crate) struct SlowEffectsConnection {
    url: DatabaseUrl,
    owner: Arc<str>,
    limit: Duration,
    clock: Clock,
    thread: EffectThread,
    /// Has no effect on PostgreSQL, where `statement_timeout` ends statements.
    guard: WorkGuard,
    /// Locked while the work of an effect runs.
    connection: Mutex<Option<DatabaseConnection>>,
}

/// The transaction of work that is done. Rolled back when dropped.
pub(crate) struct Prepared(Open);

impl SlowEffects for SlowEffectsConnection {
    fn prepare(&self, work: EffectWork) -> BoxFuture<'_, Result<Box<dyn PreparedEffect>, EffectEnd>> {
        async move {
            let prepared = self.run_work(work).await?;
            Ok(Box::new(prepared) as Box<dyn PreparedEffect>)
        }
        .boxed()
    }
}

impl SlowEffectsConnection {
    pub(crate) fn new(url: &DatabaseUrl, owner: &Arc<str>, limit: Duration, clock: Clock) -> Self {
        Self {
            url: url.clone(),
            owner: Arc::clone(owner),
            limit,
            clock,
            thread: EffectThread::default(),
            guard: WorkGuard::new(clock),
            connection: Mutex::new(None),
        }
    }

    async fn run_work(&self, effect_work: EffectWork) -> Result<Prepared, EffectEnd> {
        let mut slot = self.connection.lock().await;
        let Ok(begun) = timeout(TIMEOUT, self.begin(&mut slot)).await else {
            log::error!("the connection for slow effects does not answer");
            *slot = None;
            return Err(EffectEnd::Unavailable);
        };
        let transaction = match begun {
            Ok(transaction) => transaction,
            Err(error) => {
                log::error!(error:%; "there is no connection for slow effects");
                *slot = None;
                return Err(EffectEnd::Unavailable);
            }
        };
        match self.work(transaction, effect_work).await {
            Ok(worked) => worked.map(Prepared),
            Err(BrokenConnection(end)) => {
                *slot = None;
                Err(end)
            }
        }
    }

    /// Closes the connection.
    pub(crate) async fn close(&self) {
        let close = async {
            if let Some(connection) = self.connection.lock().await.take() {
                // A failure to close has no consequence.
                let _ = connection.close().await;
            }
        };
        if timeout(TIMEOUT, close).await.is_err() {
            log::warn!("the connection for slow effects does not end in time; it ends with the process");
        }
    }

    /// Begins a transaction on the open connection, or on a new one where there is none or it is lost.
    async fn begin(&self, slot: &mut Option<DatabaseConnection>) -> Result<Open, OpenError> {
        if let Some(connection) = &slot {
            match self.begin_on(connection).await {
                Ok(transaction) => return Ok(transaction),
                Err(error) => log::warn!(error:%; "the connection for slow effects is lost"),
            }
        }
        *slot = None;
        let Some(connection) = self.url.slow_effects(&self.owner).await? else {
            return Err(DbErr::Custom("SQLite allows only one writer".to_owned()).into());
        };
        claim::take_for_slow_effects(&connection, &self.owner).await?;
        set_timeouts(&connection).await?;
        let transaction = self.begin_on(&connection).await?;
        *slot = Some(connection);
        Ok(transaction)
    }

    async fn begin_on(&self, connection: &DatabaseConnection) -> Result<Open, DbErr> {
        let transaction = Open::of_work(connection, connection.begin().await?);
        marker::set(&transaction, &statement_limit(self.limit)).await?;
        Ok(transaction)
    }

    async fn work(
        &self,
        transaction: Open,
        effect_work: EffectWork,
    ) -> Result<Result<Open, EffectEnd>, BrokenConnection> {
        let bounds = Bounds {
            limit: self.limit,
            guard: &self.guard,
            thread: &self.thread,
            clock: self.clock,
        };
        let start = self.clock.instant();
        let mut working = None;
        let worked = work(&transaction, effect_work, self.limit, &bounds, &mut working).await;
        if transaction.is_shared() {
            // The work still runs, and uses the connection.
            self.thread.abandon();
            // Mostly another task does it, once the work lets go of it.
            let _ = timeout(TIMEOUT, transaction.rollback()).await;
            return Err(BrokenConnection(EffectEnd::TimedOut));
        }
        match worked {
            Worked::Done => {
                let settings = restore(DbBackend::Postgres);
                let renewed = timeout(TIMEOUT, marker::renew(&transaction, settings)).await;
                match renewed {
                    Ok(Ok(())) => Ok(Ok(transaction)),
                    Ok(Err(error)) => {
                        // Where the work has ended the transaction, it may have committed it, however late.
                        let is_late = self.clock.elapsed(start) >= self.limit && !marker::is_missing(&error);
                        let undone = self.undo(transaction).await;
                        let end =
                            end_of_unkept(&error, undone.is_ok(), is_late.then_some(EffectEnd::TimedOut));
                        match undone {
                            Ok(()) => Ok(Err(end)),
                            Err(_) => Err(BrokenConnection(end)),
                        }
                    }
                    Err(_) => Err(BrokenConnection(EffectEnd::Unavailable)),
                }
            }
            Worked::NotBegun(_) => match self.undo(transaction).await {
                Ok(()) => Ok(Err(EffectEnd::Again)),
                Err(_) => Err(BrokenConnection(EffectEnd::Again)),
            },
            Worked::Ended(end) => match self.undo(transaction).await {
                Ok(()) => Ok(Err(end)),
                // It may have committed what it did.
                Err(Some(EndError::Database(error))) if marker::is_missing(&error) => {
                    Err(BrokenConnection(EffectEnd::EndedTransaction))
                }
                // The server rolls back when the connection is closed.
                Err(_) => Err(BrokenConnection(end_on_a_lost_connection(end))),
            },
        }
    }

    /// Rolls the effect back. The error is none where the server does not answer.
    async fn undo(&self, transaction: Open) -> Result<(), Option<EndError>> {
        let undone = timeout(TIMEOUT, transaction.rollback()).await;
        undone.map_err(|_| None)?.map_err(Some)
    }
}

/// The end of an effect after which the connection must be closed.
struct BrokenConnection(EffectEnd);

impl PreparedEffect for Prepared {
    fn finish<'a>(
        self: Box<Self>,
        effect: &'a mut StagedEffect,
        head: Seq,
        clock: Clock,
    ) -> BoxFuture<'a, FinishedEffect> {
        let Self(transaction) = *self;
        finish(transaction, effect, head, clock).boxed()
    }

    fn undo(self: Box<Self>) -> BoxFuture<'static, ()> {
        async move {
            // A rollback fails when the connection is lost; the next effect then opens a new one.
            let _ = self.0.rollback().await;
        }
        .boxed()
    }
}

async fn finish(transaction: Open, effect: &mut StagedEffect, head: Seq, clock: Clock) -> FinishedEffect {
    let events = match settle(&transaction, effect, head, clock).await {
        Ok(events) => events,
        Err(stop) => {
            let end = match stop {
                Stop::Ended(end) => end,
                Stop::Cancelled => EffectEnd::TimedOut,
                Stop::NotBegun => EffectEnd::Again,
                Stop::Database(error) => {
                    log::error!(error:%; "the connection for slow effects is lost");
                    EffectEnd::Unavailable
                }
            };
            // A rollback fails when the connection is lost; the next effect then opens a new one.
            let _ = transaction.rollback().await;
            return FinishedEffect::Ended(end);
        }
    };
    match transaction.commit().await {
        Ok(()) => {
            let event_ids = events.iter().map(|event| event.id).collect();
            effect.events = events;
            FinishedEffect::Ended(EffectEnd::Committed { event_ids })
        }
        // By a deferred constraint or trigger.
        Err(EndError::Database(error)) if is_refused_commit(&error) => {
            log::error!(error:%; "the database refuses an effect");
            FinishedEffect::Ended(EffectEnd::Refused)
        }
        Err(error) => {
            log::error!(error:%; "the commit of a slow effect failed");
            FinishedEffect::InDoubt
        }
    }
}

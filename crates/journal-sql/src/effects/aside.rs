//! Slow effects beside the writer, on PostgreSQL: their work is done on a connection of its own, and the writer is
//! asked for the end alone, which takes it a commit.
//!
//! The end of the delivery and the events are written by the writer because places in the log are given one after
//! the other. They go behind the work here, and not before it: work that commits itself has nothing to take along,
//! and is told that it has ended its transaction.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, TransactionTrait};
use tokio::{sync::Mutex, time::timeout};

use super::{
    bounds::Bounds,
    sql::{RESTORE_TIMEOUT, Stop, ignored, limit_statements, settle},
    threads::EffectThread,
    work::{Worked, work},
};
use crate::{
    claim,
    database::DatabaseUrl,
    fault::{Fault, is_fault_of_the_data},
    open_error::OpenError,
    session::guard,
    transaction::leave,
    work_guard::WorkGuard,
};
use pointsman_clock::Clock;
use pointsman_domain::seq::Seq;
use pointsman_journal::{
    effects::{EffectEnd, EffectWork, StagedEffect},
    storage::{FinishedEffect, PreparedEffect, SlowEffects},
};

/// How long a server may take to say that a transaction has begun or is rolled back.
const PATIENCE: Duration = Duration::from_secs(5);

/// The other connection, made when it is needed first. One effect at a time.
pub(crate) struct Aside {
    url: DatabaseUrl,
    owner: Arc<str>,
    limit: Duration,
    clock: Clock,
    thread: EffectThread,
    /// PostgreSQL asks nobody; its own time-out ends statements.
    guard: WorkGuard,
    /// Locked by the effect whose work is under way.
    connection: Mutex<Option<DatabaseConnection>>,
}

/// Work that is done and may be committed. Rolled back when dropped.
pub(crate) struct Prepared(DatabaseTransaction);

impl SlowEffects for Aside {
    fn prepare(&self, work: EffectWork) -> BoxFuture<'_, Result<Box<dyn PreparedEffect>, EffectEnd>> {
        async move {
            let prepared = self.prepared(work).await?;
            Ok(Box::new(prepared) as Box<dyn PreparedEffect>)
        }
        .boxed()
    }
}

impl Aside {
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

    async fn prepared(&self, theirs: EffectWork) -> Result<Prepared, EffectEnd> {
        let mut slot = self.connection.lock().await;
        let Ok(begun) = timeout(PATIENCE, self.begin(&mut slot)).await else {
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
        match self.work(transaction, theirs).await {
            Ok(worked) => worked.map(Prepared),
            Err(Broken(end)) => {
                *slot = None;
                Err(end)
            }
        }
    }

    /// Gives the connection back.
    pub(crate) async fn close(&self) {
        let close = async {
            if let Some(connection) = self.connection.lock().await.take() {
                // Nobody can act on a failure to close.
                let _ = connection.close().await;
            }
        };
        if timeout(PATIENCE, close).await.is_err() {
            log::warn!("the connection for slow effects does not end in time; it ends with the process");
        }
    }

    /// On the connection there is, or on a new one where that was lost meanwhile.
    async fn begin(&self, slot: &mut Option<DatabaseConnection>) -> Result<DatabaseTransaction, OpenError> {
        if let Some(connection) = &slot {
            match self.begin_on(connection).await {
                Ok(transaction) => return Ok(transaction),
                Err(error) => log::warn!(error:%; "the connection for slow effects is lost"),
            }
        }
        *slot = None;
        let Some(connection) = self.url.aside(&self.owner).await? else {
            return Err(DbErr::Custom("the engine has one writer".to_owned()).into());
        };
        claim::take_aside(&connection, &self.owner).await?;
        guard(&connection).await?;
        let transaction = self.begin_on(&connection).await?;
        *slot = Some(connection);
        Ok(transaction)
    }

    async fn begin_on(&self, connection: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
        let transaction = connection.begin().await?;
        limit_statements(&transaction, self.limit).await?;
        Ok(transaction)
    }

    async fn work(
        &self,
        transaction: DatabaseTransaction,
        theirs: EffectWork,
    ) -> Result<Result<DatabaseTransaction, EffectEnd>, Broken> {
        let broken = |_| Broken(EffectEnd::Unavailable);
        let silent = |_| Broken(EffectEnd::Unavailable);
        let begun = timeout(PATIENCE, transaction.begin()).await.map_err(silent)?;
        let savepoint = Arc::new(begun.map_err(broken)?);
        let bounds = Bounds {
            limit: self.limit,
            guard: &self.guard,
            thread: &self.thread,
            clock: self.clock,
        };
        let worked = work(&savepoint, theirs, self.limit, &bounds).await;
        let Ok(savepoint) = Arc::try_unwrap(savepoint) else {
            // The work is still at it, and has the connection.
            self.thread.leave();
            tokio::spawn(leave(transaction));
            return Err(Broken(EffectEnd::TimedOut));
        };
        match worked {
            Worked::Done => {
                match timeout(PATIENCE, savepoint.commit()).await.map_err(silent)? {
                    Ok(()) => {}
                    Err(error) if Fault::of(&error) == Fault::Ignored => {
                        let end = ignored(&error, false);
                        let undone = timeout(PATIENCE, transaction.rollback()).await;
                        return match undone {
                            Ok(Ok(())) => Ok(Err(end)),
                            Ok(Err(_)) | Err(_) => Err(Broken(end)),
                        };
                    }
                    // It fails where there is no savepoint any more.
                    Err(_) => return Err(Broken(EffectEnd::EndedTransaction)),
                }
                let restore = timeout(PATIENCE, transaction.execute_unprepared(RESTORE_TIMEOUT));
                restore.await.map_err(silent)?.map_err(broken)?;
                Ok(Ok(transaction))
            }
            Worked::Ended(end) => {
                let undo = async {
                    savepoint.rollback().await?;
                    transaction.rollback().await
                };
                match timeout(PATIENCE, undo).await {
                    Ok(Ok(())) => Ok(Err(end)),
                    // Gone with the connection.
                    Ok(Err(_)) | Err(_) => Err(Broken(end)),
                }
            }
        }
    }
}

/// The effect has ended so, and the connection is to be thrown away.
struct Broken(EffectEnd);

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
}

async fn finish(
    transaction: DatabaseTransaction,
    effect: &mut StagedEffect,
    head: Seq,
    clock: Clock,
) -> FinishedEffect {
    let events = match settle(&transaction, &mut effect.command, head, clock).await {
        Ok(events) => events,
        Err(stop) => {
            let end = match stop {
                Stop::Ended(end) => end,
                Stop::Database(error) => {
                    log::error!(error:%; "the connection for slow effects is lost");
                    EffectEnd::Unavailable
                }
            };
            // Where it cannot be rolled back its connection is gone, and the next effect finds it so.
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
        // A constraint that is checked only now.
        Err(error) if is_fault_of_the_data(&error) => {
            log::error!(error:%; "the database refuses an effect");
            FinishedEffect::Ended(EffectEnd::Refused)
        }
        Err(error) => {
            log::error!(error:%; "the commit of a slow effect failed");
            FinishedEffect::InDoubt
        }
    }
}

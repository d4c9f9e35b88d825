//! Runs the author's work of an effect within its time limit.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::AbortHandle, future::Abortable};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend};
use tokio::{sync::oneshot, time::timeout};

use super::bounds::Bounds;
use crate::{transaction::roll_back_later, work_guard::Working};
use pointsman_journal::effects::{EffectEnd, EffectWork};
use pointsman_panics::Caught;

/// Work that runs for longer than its limit by this time is aborted: its statements have timed out, so that it waits
/// for something else. Work that is aborted then gets this time once more to release its thread.
const GRACE: Duration = Duration::from_millis(50);

/// How long work waits for its thread at least: starting one may take a while on a busy machine.
const START: Duration = Duration::from_millis(250);

/// How the work has ended.
pub(super) enum Worked {
    Done,
    Ended(EffectEnd),
    /// What an earlier effect has left behind still had the thread when the time was over. The thread is replaced.
    NotBegun(EffectWork),
}

/// Work that waits for its thread, and its transaction.
type Waiting = Mutex<Option<(Arc<DatabaseTransaction>, EffectWork)>>;

fn take(waiting: &Waiting) -> Option<(Arc<DatabaseTransaction>, EffectWork)> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn is_waiting(waiting: &Waiting) -> bool {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Replaces the thread and condemns the connection when it is dropped while the work runs, as it is where the whole
/// transaction has taken too long.
struct Running<'a, 'b> {
    transaction: &'a Arc<DatabaseTransaction>,
    bounds: &'a Bounds<'b>,
    waiting: Arc<Waiting>,
    abort: AbortHandle,
    has_ended: bool,
}

impl Drop for Running<'_, '_> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        self.abort.abort();
        drop(take(&self.waiting));
        self.bounds.thread.abandon();
        self.bounds.guard.condemn();
        // On PostgreSQL the next connection ends the session. Were the transaction ended before, statements of work
        // that still runs would be committed one by one.
        if self.transaction.get_database_backend() == DbBackend::Sqlite {
            tokio::spawn(roll_back_later(Arc::clone(self.transaction)));
        }
    }
}

/// What work does whose time is over.
enum Begun<T> {
    Not(EffectWork),
    Runs,
    Ended(T),
}

/// Waits for work that its thread has not begun.
async fn begun<T>(waiting: &Waiting, ended: &mut (impl Future<Output = T> + Unpin)) -> Begun<T> {
    if !is_waiting(waiting) {
        return Begun::Runs;
    }
    if let Ok(ended) = timeout(START, ended).await {
        return Begun::Ended(ended);
    }
    match take(waiting) {
        Some((_, work)) => Begun::Not(work),
        None => Begun::Runs,
    }
}

/// Runs the work on the thread of effects for up to `limit`. Work that takes longer ends as [`EffectEnd::Again`] where
/// `limit` is less than the whole limit of an effect, otherwise as [`EffectEnd::TimedOut`]. Work that does not end
/// within the whole limit keeps running, and keeps a reference to `transaction`.
///
/// The guard of the connection holds until `working` is dropped: work may leave a statement behind, which is bounded by
/// the limit as well.
pub(super) async fn work<'a>(
    transaction: &Arc<DatabaseTransaction>,
    work: EffectWork,
    limit: Duration,
    bounds: &Bounds<'a>,
    working: &mut Option<Working<'a>>,
) -> Worked {
    let start = bounds.clock.instant();
    *working = Some(bounds.guard.work(start + limit));
    let (abort, registration) = AbortHandle::new_pair();
    let (done, ended) = oneshot::channel();
    let waiting = Arc::new(Waiting::new(Some((Arc::clone(transaction), work))));
    let to_begin = Arc::clone(&waiting);
    let task = async move {
        let Some((shared, work)) = take(&to_begin) else {
            return;
        };
        let run = Caught::new(work.run(&shared));
        let end = Abortable::new(run, registration).await;
        drop(shared);
        // Fails when the caller has given up.
        let _ = done.send(end);
    };
    if let Err(error) = bounds.thread.start(task.boxed()) {
        log::error!(error:%; "there is no thread for an effect");
        return Worked::Ended(EffectEnd::Unavailable);
    }
    let mut running = Running {
        transaction,
        bounds,
        waiting: Arc::clone(&waiting),
        abort: abort.clone(),
        has_ended: false,
    };
    let mut ended = ended;
    let end = match timeout(limit + GRACE.min(limit), &mut ended).await {
        Ok(end) => Some(end),
        Err(_) => match begun(&waiting, &mut ended).await {
            Begun::Ended(end) => Some(end),
            Begun::Not(work) => {
                log::error!(
                    "what an effect has left behind occupies the thread of effects, which is replaced"
                );
                bounds.thread.abandon();
                running.has_ended = true;
                return Worked::NotBegun(work);
            }
            Begun::Runs => {
                abort.abort();
                let rest = bounds.limit.saturating_sub(limit);
                timeout(rest + GRACE, ended).await.ok()
            }
        },
    };
    running.has_ended = true;
    let is_late = bounds.clock.elapsed(start) >= limit;
    let too_long = || match limit < bounds.limit {
        true => Worked::Ended(EffectEnd::Again),
        false => Worked::Ended(EffectEnd::TimedOut),
    };
    if bounds.guard.has_ended() && !is_late {
        log::error!("an effect has ended the transaction that it is part of");
        return Worked::Ended(EffectEnd::EndedTransaction);
    }
    match end {
        // Done, even if late: the commit waits for nothing more.
        Some(Ok(Ok(Ok(Ok(()))))) if !bounds.guard.has_ended() => Worked::Done,
        // The work may have failed because a statement timed out.
        Some(Ok(Ok(_))) if is_late => too_long(),
        Some(Ok(Ok(Ok(Err(failure))))) => Worked::Ended(EffectEnd::Failed(failure)),
        Some(Ok(Ok(Err(panic)))) => {
            log::error!(panic:%; "the work of an effect panicked");
            Worked::Ended(EffectEnd::Panicked)
        }
        _ => too_long(),
    }
}

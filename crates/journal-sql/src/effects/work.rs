//! The author's part of an effect, which has a limited time.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::AbortHandle, future::Abortable};
use sea_orm::DatabaseTransaction;
use tokio::{sync::oneshot, time::timeout};

use super::bounds::Bounds;
use pointsman_journal::effects::{EffectEnd, EffectWork};
use pointsman_panics::Caught;

/// Until work is given up that its statements' time-out has not ended: it waits for something else. And then once
/// more until it has given its thread back.
const GRACE: Duration = Duration::from_millis(50);

/// How the work went.
pub(super) enum Worked {
    Done,
    Ended(EffectEnd),
}

/// Runs it on the thread of effects for up to `limit`, which may be less than an effect may take in all: then what
/// takes longer is to be run again. Only what does not come back within its whole time is left behind, and
/// `savepoint` has another owner afterwards.
pub(super) async fn work(
    savepoint: &Arc<DatabaseTransaction>,
    work: EffectWork,
    limit: Duration,
    bounds: &Bounds<'_>,
) -> Worked {
    let start = bounds.clock.instant();
    let working = bounds.guard.work(start + limit);
    let (abort, registration) = AbortHandle::new_pair();
    let (done, ended) = oneshot::channel();
    let theirs = Arc::clone(savepoint);
    let task = async move {
        let run = Caught::new(work.run(&theirs));
        let end = Abortable::new(run, registration).await;
        drop(theirs);
        // The writer may have given up.
        let _ = done.send(end);
    };
    if let Err(error) = bounds.thread.start(task.boxed()) {
        log::error!(error:%; "there is no thread for an effect");
        return Worked::Ended(EffectEnd::Unavailable);
    }
    let mut ended = ended;
    let end = match timeout(limit + GRACE.min(limit), &mut ended).await {
        Ok(end) => Some(end),
        Err(_) => {
            abort.abort();
            let rest = bounds.limit.saturating_sub(limit);
            timeout(rest + GRACE, ended).await.ok()
        }
    };
    drop(working);
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
        // Late, and done: the commit need not wait for anything any more.
        Some(Ok(Ok(Ok(Ok(()))))) if !bounds.guard.has_ended() => Worked::Done,
        // A statement that was ended by its time-out is an error of the work.
        Some(Ok(Ok(_))) if is_late => too_long(),
        Some(Ok(Ok(Ok(Err(failure))))) => Worked::Ended(EffectEnd::Failed(failure)),
        Some(Ok(Ok(Err(panic)))) => {
            log::error!(panic:%; "the work of an effect panicked");
            Worked::Ended(EffectEnd::Panicked)
        }
        _ => too_long(),
    }
}

//! Enforces the limits on the work of an effect on SQLite, which has no statement time-out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use pointsman_clock::Clock;

/// The guard of one writer connection. SQLite asks it periodically while a statement runs, and interrupts the statement
/// once the time of the work is over. SQLite also asks it before every commit, and work may not commit.
#[derive(Clone, Debug)]
pub(super) struct WorkGuard(Arc<State>);

#[derive(Debug)]
struct State {
    clock: Clock,
    base: Instant,
    /// Until when the work may run, in nanoseconds after `base`; 0 while no work runs.
    until: AtomicU64,
    /// The transaction was ended while work ran.
    ended: AtomicBool,
    /// Every statement and commit on this connection is refused.
    condemned: AtomicBool,
}

impl WorkGuard {
    pub(super) fn new(clock: Clock) -> Self {
        Self(Arc::new(State {
            clock,
            base: clock.instant(),
            until: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            condemned: AtomicBool::new(false),
        }))
    }

    /// Marks the start of work, which lasts until the returned value is dropped. Its statements are interrupted at
    /// `until`.
    pub(super) fn work(&self, until: Instant) -> Working<'_> {
        let nanos = until.saturating_duration_since(self.0.base).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX).max(1);
        self.0.ended.store(false, Ordering::Release);
        self.0.until.store(nanos, Ordering::Release);
        Working(&self.0)
    }

    /// Whether a statement that runs now is to be interrupted.
    pub(super) fn is_over(&self) -> bool {
        match self.0.until.load(Ordering::Acquire) {
            _ if self.0.condemned.load(Ordering::Acquire) => true,
            0 => false,
            nanos => self.0.clock.elapsed(self.0.base).as_nanos() > u128::from(nanos),
        }
    }

    /// Whether a commit is allowed: not while work runs. SQLite rolls the transaction back where it is refused.
    pub(super) fn may_commit(&self) -> bool {
        let is_ours = self.0.until.load(Ordering::Acquire) == 0;
        is_ours && !self.0.condemned.load(Ordering::Acquire)
    }

    /// To be called when the transaction was rolled back.
    pub(super) fn rolled_back(&self) {
        if self.0.until.load(Ordering::Acquire) != 0 {
            self.0.ended.store(true, Ordering::Release);
        }
    }

    /// Whether the transaction was ended during the latest work.
    pub(super) fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }

    /// Refuses every further statement and commit: work that does not end may still use the connection, which is about
    /// to be dropped.
    pub(super) fn condemn(&self) {
        self.0.condemned.store(true, Ordering::Release);
    }
}

pub(super) struct Working<'a>(&'a State);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.until.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn statements_are_interrupted_only_while_there_is_work_that_is_late() {
        let guard = WorkGuard::new(Clock);
        assert!(!guard.is_over());
        let working = guard.work(guard.0.base);
        assert!(guard.is_over());
        drop(working);
        assert!(!guard.is_over());
        let _working = guard.work(Clock.instant() + Duration::from_secs(3600));
        assert!(!guard.is_over());
    }

    #[test]
    fn work_commits_nothing_and_its_end_of_the_transaction_is_noticed() {
        let guard = WorkGuard::new(Clock);
        guard.rolled_back();
        assert!(guard.may_commit() && !guard.has_ended());
        let working = guard.work(Clock.instant() + Duration::from_secs(3600));
        assert!(!guard.may_commit() && !guard.has_ended());
        guard.rolled_back();
        drop(working);
        assert!(guard.may_commit() && guard.has_ended());
        drop(guard.work(guard.0.base));
        assert!(!guard.has_ended(), "the next work begins anew");
    }

    #[test]
    fn a_connection_that_is_condemned_writes_nothing_any_more() {
        let guard = WorkGuard::new(Clock);
        guard.condemn();
        assert!(guard.is_over() && !guard.may_commit());
    }
}

//! Until when a statement of the writer may run, on the engine that has no time-out for statements.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::clock::Clock;

/// SQLite asks it while a statement runs, and interrupts the statement once it has passed.
#[derive(Clone, Debug)]
pub(super) struct StatementDeadline {
    clock: Clock,
    base: Instant,
    /// Nanoseconds after `base`; 0 where there is none.
    nanos: Arc<AtomicU64>,
}

impl StatementDeadline {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            base: clock.instant(),
            nanos: Arc::default(),
        }
    }

    /// Holds until the guard is dropped.
    pub(super) fn set(&self, at: Instant) -> DeadlineGuard<'_> {
        let nanos = at.saturating_duration_since(self.base).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX).max(1);
        self.nanos.store(nanos, Ordering::Release);
        DeadlineGuard(&self.nanos)
    }

    pub(super) fn has_passed(&self) -> bool {
        match self.nanos.load(Ordering::Acquire) {
            0 => false,
            nanos => self.clock.elapsed(self.base).as_nanos() > u128::from(nanos),
        }
    }
}

pub(super) struct DeadlineGuard<'a>(&'a AtomicU64);

impl Drop for DeadlineGuard<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_has_passed_only_while_it_is_set() {
        let deadline = StatementDeadline::new(Clock);
        assert!(!deadline.has_passed());
        let guard = deadline.set(deadline.base);
        assert!(deadline.has_passed());
        drop(guard);
        assert!(!deadline.has_passed());
        let _guard = deadline.set(Clock.instant() + Duration::from_secs(3600));
        assert!(!deadline.has_passed());
    }
}

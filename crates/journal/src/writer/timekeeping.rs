//! When the engine's time is written.

use std::time::{Duration, Instant};

use super::{bounds::bounded, connection::WriterConnection};
use crate::storage::Outcome;
use pointsman_clock::Clock;

/// How often the engine's time is written while the server runs.
const EVERY: Duration = Duration::from_secs(10);

pub(super) struct Timekeeping {
    next: Instant,
    clock: Clock,
}

impl Timekeeping {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            next: clock.instant() + EVERY,
            clock,
        }
    }

    /// How long until it is due.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Writes the engine's time.
    pub(super) async fn run(&mut self, connection: &mut WriterConnection) {
        let Some(current) = connection.get() else {
            return;
        };
        let pause = match bounded(current.keep_time(self.clock.now())).await {
            Outcome::Committed(()) => {
                connection.answered();
                EVERY
            }
            Outcome::RolledBack(error) => {
                log::error!(error:%; "the engine's time was refused");
                EVERY
            }
            Outcome::Unknown => {
                connection.lose("the engine's time could not be written");
                // It may fail again, and take seconds each time.
                EVERY
            }
            Outcome::NotBegun => {
                connection.lose("the engine's time could not be written");
                // Its commit on the next connection shows that this was a single loss and not the first of many.
                if connection.is_first_loss() {
                    Duration::ZERO
                } else {
                    EVERY
                }
            }
        };
        self.next = self.clock.instant() + pause;
    }
}

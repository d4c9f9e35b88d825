//! When the engine's time is written and expired rows are deleted.

use std::time::{Duration, Instant};

use super::{bounds::bounded, connection::WriterConnection};
use crate::storage::{HouseKept, Outcome};
use pointsman_clock::Clock;

/// How often the engine's time is written while the server runs.
const EVERY: Duration = Duration::from_secs(10);
/// Where there is more to delete than one transaction deletes, the pause until the next one, as a multiple of the time
/// that it took: deletions get a tenth of the writer's time.
const PAUSE_FACTOR: u32 = 9;
/// The least pause, however short the transaction was.
const MIN_PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Housekeeping {
    next: Instant,
    clock: Clock,
}

impl Housekeeping {
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

    /// Writes the engine's time and deletes some of the rows that have expired.
    pub(super) async fn run(&mut self, connection: &mut WriterConnection) {
        let Some(current) = connection.get() else {
            return;
        };
        let start = self.clock.instant();
        let pause = match bounded(current.keep_house(self.clock.now())).await {
            Outcome::Committed(kept) => {
                connection.answered();
                match kept {
                    HouseKept::Partly => {
                        let took = self.clock.elapsed(start);
                        (took * PAUSE_FACTOR).clamp(MIN_PAUSE, EVERY)
                    }
                    HouseKept::Done => EVERY,
                }
            }
            Outcome::RolledBack(error) => {
                log::error!(error:%; "the housekeeping was refused");
                EVERY
            }
            Outcome::Unknown => {
                connection.lose("the housekeeping failed");
                // It may fail again, and take seconds each time.
                EVERY
            }
            Outcome::NotBegun => {
                connection.lose("the housekeeping failed");
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

//! Time and randomness of a simulation: virtual, from a seed, and of this thread alone.
//!
//! Time passes as the paused clock of the tokio runtime says. A process that starts anew takes the wall clock
//! for the engine's time, as a real one does.

use std::{cell::RefCell, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use crate::domain::timestamp::Timestamp;

thread_local! {
    static CURRENT: RefCell<Option<SimulatedTime>> = const { RefCell::new(None) };
}

/// The clocks of one simulated machine.
#[derive(Debug)]
pub(crate) struct SimulatedTime {
    /// When the process started: what its runtime's clock showed, and what its own clocks showed.
    started: tokio::time::Instant,
    engine_at_start: Timestamp,
    wall_at_start: Timestamp,
    /// Milliseconds and number of the last UUID.
    last_id: (i64, u16),
    random: StdRng,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's paused clock is what time is simulated by"
)]
fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// A process starts on this thread, whose machine shows the time `wall`. Call it within its runtime.
pub(crate) fn start_process(seed: u64, wall: Timestamp) {
    let time = SimulatedTime {
        started: instant(),
        engine_at_start: wall,
        wall_at_start: wall,
        last_id: (0, 0),
        random: StdRng::seed_from_u64(seed),
    };
    CURRENT.with_borrow_mut(|current| *current = Some(time));
}

/// The thread has the machine's clocks again.
pub(crate) fn end() {
    CURRENT.with_borrow_mut(|current| *current = None);
}

/// Somebody sets the wall clock forward or back.
pub(crate) fn jump(millis: i64) {
    with(|time| {
        time.wall_at_start = Timestamp::from_millis(time.wall_at_start.millis() + millis);
    });
}

pub(super) fn now() -> Option<Timestamp> {
    with(|time| time.engine_at_start + time.elapsed())
}

pub(super) fn wall() -> Option<Timestamp> {
    with(|time| time.wall())
}

pub(super) fn monotonic() -> Option<std::time::Instant> {
    with(|_| instant().into_std())
}

pub(super) fn new_uuid() -> Option<Uuid> {
    with(|time| {
        let wall = time.wall().millis();
        // Within a process ids grow, also where the wall clock goes back.
        if wall > time.last_id.0 {
            time.last_id = (wall, 0);
        } else if time.last_id.1 == 0xfff {
            time.last_id = (time.last_id.0 + 1, 0);
        } else {
            time.last_id.1 += 1;
        }
        let (millis, count) = time.last_id;
        let mut rest: [u8; 10] = time.random.random();
        rest[..2].copy_from_slice(&count.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(millis.unsigned_abs(), &rest).into_uuid()
    })
}

pub(super) fn random() -> Option<f64> {
    with(|time| time.random.random())
}

fn with<T>(read: impl FnOnce(&mut SimulatedTime) -> T) -> Option<T> {
    CURRENT.with_borrow_mut(|current| current.as_mut().map(read))
}

impl SimulatedTime {
    fn elapsed(&self) -> Duration {
        instant().saturating_duration_since(self.started)
    }

    fn wall(&self) -> Timestamp {
        self.wall_at_start + self.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    async fn look_at_it() -> (Timestamp, Timestamp, Vec<Uuid>, f64) {
        start_process(7, Timestamp::from_millis(1_000_000));
        let mut ids: Vec<Uuid> = (0..5_000).map(|_| Clock.new_uuid()).collect();
        tokio::time::sleep(Duration::from_secs(60)).await;
        jump(-3_600_000);
        ids.push(Clock.new_uuid());
        let seen = (Clock.now(), Clock.wall(), ids, Clock.random());
        end();
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_gives_the_same_times_and_ids() {
        let first = look_at_it().await;
        assert_eq!(first, look_at_it().await);
        assert_eq!(first.0, Timestamp::from_millis(1_060_000));
        assert_eq!(first.1, Timestamp::from_millis(1_060_000 - 3_600_000));
        assert!(first.2.is_sorted());
    }
}

//! Time and randomness of a simulation: virtual, from a seed, and of this thread alone.
//!
//! Time passes as the paused clock of the tokio runtime says. A process that starts anew takes the wall clock
//! for the engine's time, as a real one does.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use pointsman_clock::{Clock as AnyClock, Source};

use rand::{Rng, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use pointsman_domain::timestamp::Timestamp;

thread_local! {
    static CURRENT: RefCell<Option<SimulatedTime>> = const { RefCell::new(None) };
}

/// The clocks of one simulated machine.
#[derive(Debug)]
struct SimulatedTime {
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
pub fn start_process(seed: u64, wall: Timestamp) {
    let time = SimulatedTime {
        started: instant(),
        engine_at_start: wall,
        wall_at_start: wall,
        last_id: (0, 0),
        random: StdRng::seed_from_u64(seed),
    };
    CURRENT.with_borrow_mut(|current| *current = Some(time));
}

/// The simulated process has ended: the thread uses the machine's clocks again.
pub fn end() {
    CURRENT.with_borrow_mut(|current| *current = None);
}

/// Sets the wall clock forward, or back where `millis` is negative.
pub fn jump(millis: i64) {
    with(|time| {
        time.wall_at_start = Timestamp::from_millis(time.wall_at_start.millis() + millis);
    });
}

/// The clock of the simulated process that runs on the thread; the machine's where none does.
#[expect(non_upper_case_globals, reason = "as the clock that it stands for")]
pub const Clock: AnyClock = AnyClock::over(&OfThread);

struct OfThread;

impl Source for OfThread {
    fn now(&self) -> Timestamp {
        with(|time| time.engine_at_start + time.elapsed()).unwrap_or_else(|| machine().now())
    }

    fn wall(&self) -> Timestamp {
        with(|time| time.wall()).unwrap_or_else(|| machine().wall())
    }

    fn instant(&self) -> Instant {
        with(|_| instant().into_std()).unwrap_or_else(|| machine().instant())
    }

    fn new_uuid(&self) -> Uuid {
        with(SimulatedTime::new_uuid).unwrap_or_else(|| machine().new_uuid())
    }

    fn random(&self) -> f64 {
        with(|time| time.random.random()).unwrap_or_else(|| machine().random())
    }
}

const fn machine() -> AnyClock {
    pointsman_clock::Clock
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

    fn new_uuid(&mut self) -> Uuid {
        let wall = self.wall().millis();
        // Within a process ids grow, also where the wall clock goes back.
        if wall > self.last_id.0 {
            self.last_id = (wall, 0);
        } else if self.last_id.1 == 0xfff {
            self.last_id = (self.last_id.0 + 1, 0);
        } else {
            self.last_id.1 += 1;
        }
        let (millis, count) = self.last_id;
        let mut rest: [u8; 10] = self.random.random();
        rest[..2].copy_from_slice(&count.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(millis.unsigned_abs(), &rest).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

//! The only source of time, identifiers and randomness.
//!
//! There are two times. [`Clock::now`] is the engine's: it starts as the wall clock, and from then on it advances as
//! fast as time passes. A wall clock that is set an hour back or forward therefore neither delays deliveries that
//! wait for their time nor makes them due at once. Time in which the machine was suspended counts where the operating
//! system reports it (Linux). [`Clock::wall`] is the machine's: people and other machines are shown it, and it may
//! jump.

#![warn(missing_docs)]

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use pointsman_domain::timestamp::Timestamp;
use uuid::Uuid;

/// The source of the times and the randomness of a clock. No method fails or waits.
pub trait Source: Sync {
    /// See [`Clock::now`].
    fn now(&self) -> Timestamp;

    /// See [`Clock::wall`].
    fn wall(&self) -> Timestamp;

    /// See [`Clock::instant`].
    fn instant(&self) -> Instant;

    /// See [`Clock::new_uuid`].
    fn new_uuid(&self) -> Uuid;

    /// See [`Clock::random`].
    fn random(&self) -> f64;
}

/// The clock of the process. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Clock {
    source: &'static dyn Source,
}

/// The machine's clock.
#[expect(
    non_upper_case_globals,
    reason = "it reads as the clock of the process, which code uses unless it is given another"
)]
pub const Clock: Clock = Clock::over(&Machine);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}

/// The machine's clock.
impl Default for Clock {
    fn default() -> Self {
        Clock
    }
}

impl Clock {
    /// A clock with the times and the randomness of `source`.
    pub const fn over(source: &'static dyn Source) -> Self {
        Self { source }
    }

    /// The engine's time, for everything that is due at a time. It never jumps and never goes back.
    pub fn now(self) -> Timestamp {
        self.source.now()
    }

    /// The wall clock, for times that are shown, signed or stored for people.
    pub fn wall(self) -> Timestamp {
        self.source.wall()
    }

    /// The monotonic clock, for measuring durations.
    pub fn instant(self) -> Instant {
        self.source.instant()
    }

    /// Time passed since `start`.
    pub fn elapsed(self, start: Instant) -> Duration {
        self.instant().saturating_duration_since(start)
    }

    /// A UUID v7: unique and, within this process, increasing.
    pub fn new_uuid(self) -> Uuid {
        self.source.new_uuid()
    }

    /// A uniformly random number in `[0, 1)`.
    pub fn random(self) -> f64 {
        self.source.random()
    }
}

/// The clocks of the machine, and the randomness of its operating system.
struct Machine;

/// The engine's time, and the time since boot, at the first call.
static ANCHOR: OnceLock<(Timestamp, Duration)> = OnceLock::new();

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the ambient clock"
)]
impl Source for Machine {
    fn now(&self) -> Timestamp {
        let (wall, anchor) = ANCHOR.get_or_init(|| (self.wall(), since_boot()));
        *wall + since_boot().saturating_sub(*anchor)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn new_uuid(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn random(&self) -> f64 {
        rand::random()
    }
}

/// A clock for tests of extensions: the machine's clock, which can be turned forward. [`Clock::instant`] is not turned.
#[derive(Debug, Default)]
pub struct TurnedClock {
    /// Milliseconds by which it has been turned.
    turned: AtomicU64,
}

impl TurnedClock {
    /// A clock that lives as long as the process. Each leaks a few bytes.
    pub fn leaked() -> &'static Self {
        Box::leak(Box::default())
    }

    /// Turns it forward.
    pub fn turn(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX / 4);
        self.turned.fetch_add(millis, Ordering::SeqCst);
    }

    fn turned(&self) -> Duration {
        Duration::from_millis(self.turned.load(Ordering::SeqCst))
    }
}

impl Source for TurnedClock {
    fn now(&self) -> Timestamp {
        Machine.now() + self.turned()
    }

    fn wall(&self) -> Timestamp {
        Machine.wall() + self.turned()
    }

    fn instant(&self) -> Instant {
        Machine.instant()
    }

    fn new_uuid(&self) -> Uuid {
        Machine.new_uuid()
    }

    fn random(&self) -> f64 {
        Machine.random()
    }
}

/// Time passed since some moment before the start of the process. It never goes back. It advances while the machine is
/// suspended, and timers of the runtime do not: code that sleeps long has to check the time now and then.
#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Time passed since the first call. It never goes back.
#[cfg(not(target_os = "linux"))]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the ambient clock"
)]
fn since_boot() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_its_own_can_be_turned_and_others_do_not_follow() {
        let hour = Duration::from_secs(3600);
        let turned = TurnedClock::leaked();
        let clock = Clock::over(turned);
        turned.turn(hour);
        let minute = Duration::from_secs(60);
        for (turned, plain) in [(clock.now(), Clock.now()), (clock.wall(), Clock.wall())] {
            assert!(turned.since(plain) > hour - minute);
            assert!(turned.since(plain) <= hour);
        }
    }

    #[test]
    fn the_time_of_the_engine_starts_as_the_wall_clock_and_never_goes_back() {
        let first = Clock.now();
        assert!(
            Clock.wall().since(first) < Duration::from_secs(3600),
            "both clocks tell the same hour"
        );
        let mut last = first;
        for _ in 0..1_000 {
            let now = Clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}

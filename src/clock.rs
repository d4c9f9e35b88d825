//! The only source of time, identifiers and randomness.
//!
//! There are two times. [`Clock::now`] is the engine's: it starts as the wall clock and from then on only
//! moves as fast as time passes, so that a wall clock that is set an hour back or forward neither stalls nor
//! floods what waits for its time. Time in which the machine was suspended counts where the operating system
//! tells (Linux). [`Clock::wall`] is the machine's: it is what people and other machines are
//! told, and may jump.

#[cfg(test)]
pub(crate) mod simulated;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::domain::timestamp::Timestamp;

/// The clock of the process. Cheap to copy.
/// The default is the one that nobody turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Milliseconds by which a test has turned it forward.
    turned: Option<&'static AtomicI64>,
}

/// The clock that nobody turns.
#[expect(
    non_upper_case_globals,
    reason = "it is the clock, unless a test of an extension asks for one of its own"
)]
pub const Clock: Clock = Clock { turned: None };

/// Where the engine's time and the time since boot met.
static ANCHOR: OnceLock<(Timestamp, Duration)> = OnceLock::new();

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the ambient clock"
)]
impl Clock {
    /// One that tells the time until it is turned forward, for tests of extensions. It lasts as long as the
    /// process: a few bytes for each.
    pub(crate) fn turnable() -> Self {
        Self {
            turned: Some(Box::leak(Box::default())),
        }
    }

    /// Turns it forward; without effect on the clock that nobody turns.
    pub(crate) fn turn(self, by: Duration) {
        if let Some(turned) = self.turned {
            let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 4);
            turned.fetch_add(millis, Ordering::SeqCst);
        }
    }

    fn turned(self) -> Duration {
        let millis = self.turned.map_or(0, |turned| turned.load(Ordering::SeqCst));
        Duration::from_millis(millis.unsigned_abs())
    }

    /// The engine's time, for everything that is due at a time: never jumps, never goes back.
    pub fn now(self) -> Timestamp {
        #[cfg(test)]
        if let Some(simulated) = simulated::now() {
            return simulated;
        }
        let (wall, anchor) = ANCHOR.get_or_init(|| (Clock.wall(), since_boot()));
        *wall + since_boot().saturating_sub(*anchor) + self.turned()
    }

    /// The wall clock, for what is shown, signed or kept for people.
    pub fn wall(self) -> Timestamp {
        #[cfg(test)]
        if let Some(simulated) = simulated::wall() {
            return simulated;
        }
        Timestamp::from_millis(chrono::Utc::now().timestamp_millis()) + self.turned()
    }

    /// The monotonic clock, for measuring durations.
    pub fn instant(self) -> Instant {
        #[cfg(test)]
        if let Some(simulated) = simulated::monotonic() {
            return simulated;
        }
        Instant::now()
    }

    /// Time passed since `start`.
    pub fn elapsed(self, start: Instant) -> Duration {
        self.instant().saturating_duration_since(start)
    }

    /// A UUID v7: unique and, within this process, increasing.
    pub fn new_uuid(self) -> Uuid {
        #[cfg(test)]
        if let Some(simulated) = simulated::new_uuid() {
            return simulated;
        }
        Uuid::now_v7()
    }

    /// A uniformly random number in `[0, 1)`.
    pub fn random(self) -> f64 {
        #[cfg(test)]
        if let Some(simulated) = simulated::random() {
            return simulated;
        }
        rand::random()
    }
}

/// Time passed since some moment before the start of the process; never goes back. Timers of the runtime do
/// not run while the machine is suspended, this does: who sleeps long must look again now and then.
#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Time passed since the first call; never goes back.
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
        let clock = Clock::turnable();
        clock.turn(hour);
        Clock.turn(hour);
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

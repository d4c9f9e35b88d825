//! The settings of a simulated world, drawn once from the seed.

use std::{sync::Arc, time::Duration};

use super::seeded_rng::SeededRng;
use pointsman_domain::retry_schedule::RetrySchedule;
use pointsman_http_delivery::Transport;
use pointsman_router::RouterSettings;

/// How many of a thousand operations fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    /// Operations on the writer connection.
    pub(super) write: u32,
    /// Reads.
    pub(super) read: u32,
    /// Attempts to connect.
    pub(super) connect: u32,
    /// Attempts of deliveries.
    pub(super) attempt: u32,
}

impl Faults {
    pub(super) const NONE: Self = Self {
        write: 0,
        read: 0,
        connect: 0,
        attempt: 0,
    };
}

#[derive(Clone, Debug)]
pub(super) struct WorldSettings {
    pub(super) workspaces: usize,
    /// Number of processes, one after the other, before the last one.
    pub(super) lives: u64,
    /// Number of steps in one of them.
    pub(super) steps: u64,
    pub(super) faults: Faults,
    /// The longest that an operation of the storage takes, where nothing goes wrong, in milliseconds.
    pub(super) storage_millis: u64,
    pub(super) window: usize,
    pub(super) concurrency: usize,
    pub(super) max_in_flight: usize,
    pub(super) schedule: Vec<Duration>,
    pub(super) attempt_timeout: Duration,
    pub(super) breaker_failures: u32,
    pub(super) max_hold: Duration,
    pub(super) passivate_after: Duration,
    /// How often each kind of step is taken; see `script`.
    pub(super) unrest: u32,
}

impl WorldSettings {
    pub(super) fn draw(rng: &mut SeededRng) -> Self {
        let seconds = |rng: &mut SeededRng, of: &[u64]| Duration::from_secs(rng.pick(of).unwrap_or(1));
        let schedules: [&[u64]; 5] = [&[], &[1], &[1, 5], &[0, 1, 2], &[2, 10, 40]];
        let schedule = rng.pick(&schedules).unwrap_or_default();
        let often = |rng: &mut SeededRng| rng.pick(&[0, 0, 5, 20, 100]).unwrap_or(0);
        Self {
            workspaces: usize::try_from(rng.number(1..4)).unwrap_or(1),
            lives: rng.number(0..4),
            steps: rng.number(20..70),
            faults: Faults {
                write: often(rng),
                read: often(rng),
                connect: rng.pick(&[0, 300]).unwrap_or(0),
                attempt: rng.pick(&[0, 50, 300, 900]).unwrap_or(0),
            },
            storage_millis: rng.pick(&[1, 3, 30, 400]).unwrap_or(1),
            window: rng.pick(&[1, 2, 4, 16, 256]).unwrap_or(16),
            concurrency: rng.pick(&[1, 2, 8, 64]).unwrap_or(8),
            max_in_flight: rng.pick(&[4, 16, 1_000]).unwrap_or(16),
            schedule: schedule.iter().copied().map(Duration::from_secs).collect(),
            attempt_timeout: seconds(rng, &[1, 3, 15]),
            breaker_failures: rng.pick(&[2, 5, 20, 1_000_000]).map_or(20, |n| n),
            max_hold: seconds(rng, &[30, 300, 86_400]),
            passivate_after: seconds(rng, &[2, 20, 300]),
            unrest: rng.pick(&[0, 1, 4]).unwrap_or(1),
        }
    }

    /// The settings of the router.
    pub(super) fn router_settings(&self, transport: Arc<dyn Transport>) -> RouterSettings {
        RouterSettings {
            threads: 0,
            max_in_flight: self.max_in_flight,
            window: self.window,
            concurrency: self.concurrency,
            schedule: RetrySchedule::new(self.schedule.clone(), 0.2),
            attempt_timeout: self.attempt_timeout,
            breaker_failures: self.breaker_failures,
            max_hold: self.max_hold,
            passivate_after: self.passivate_after,
            waker_patience: Duration::from_secs(60),
            transport,
            open_secret: Arc::new(|sealed| Ok(sealed.to_owned())),
            in_process: pointsman_router::InProcessSettings::default(),
        }
    }
}

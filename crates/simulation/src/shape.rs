//! What a simulated world is like: drawn once from the seed.

use std::{sync::Arc, time::Duration};

use super::dice::Dice;
use pointsman_domain::retry_schedule::RetrySchedule;
use pointsman_http_delivery::Transport;
use pointsman_router::RouterSettings;

/// How often things go wrong, out of a thousand times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    /// Of an operation on the writer connection.
    pub(super) write: u32,
    /// Of a read.
    pub(super) read: u32,
    /// Of an attempt to connect.
    pub(super) connect: u32,
    /// Of an attempt.
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
pub(super) struct Shape {
    pub(super) workspaces: usize,
    /// Processes, one after the other, before the last one.
    pub(super) lives: u64,
    /// What happens in one of them.
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

impl Shape {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let seconds = |dice: &mut Dice, of: &[u64]| Duration::from_secs(dice.pick(of).unwrap_or(1));
        let schedules: [&[u64]; 5] = [&[], &[1], &[1, 5], &[0, 1, 2], &[2, 10, 40]];
        let schedule = dice.pick(&schedules).unwrap_or_default();
        let often = |dice: &mut Dice| dice.pick(&[0, 0, 5, 20, 100]).unwrap_or(0);
        Self {
            workspaces: usize::try_from(dice.number(1..4)).unwrap_or(1),
            lives: dice.number(0..4),
            steps: dice.number(20..70),
            faults: Faults {
                write: often(dice),
                read: often(dice),
                connect: dice.pick(&[0, 300]).unwrap_or(0),
                attempt: dice.pick(&[0, 50, 300, 900]).unwrap_or(0),
            },
            storage_millis: dice.pick(&[1, 3, 30, 400]).unwrap_or(1),
            window: dice.pick(&[1, 2, 4, 16, 256]).unwrap_or(16),
            concurrency: dice.pick(&[1, 2, 8, 64]).unwrap_or(8),
            max_in_flight: dice.pick(&[4, 16, 1_000]).unwrap_or(16),
            schedule: schedule.iter().copied().map(Duration::from_secs).collect(),
            attempt_timeout: seconds(dice, &[1, 3, 15]),
            breaker_failures: dice.pick(&[2, 5, 20, 1_000_000]).map_or(20, |n| n),
            max_hold: seconds(dice, &[30, 300, 86_400]),
            passivate_after: seconds(dice, &[2, 20, 300]),
            unrest: dice.pick(&[0, 1, 4]).unwrap_or(1),
        }
    }

    /// What the router is told.
    pub(super) fn settings(&self, transport: Arc<dyn Transport>) -> RouterSettings {
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
            transport,
            open_secret: Arc::new(|sealed| Ok(sealed.to_owned())),
            in_process: pointsman_router::InProcessSettings::default(),
        }
    }
}

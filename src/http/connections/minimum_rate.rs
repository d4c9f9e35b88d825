//! The minimum rate of a long transfer.

use std::time::{Duration, Instant};

/// A client that is slower than this over a long time is treated as one that holds on to the connection.
const BYTES_PER_SECOND: u32 = 16 * 1024;

/// A transfer with a minimum rate: it starts with an initial time, and each byte that passes adds to it.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct MinimumRate {
    deadline: Instant,
}

impl MinimumRate {
    /// A transfer that begins at `now` and may take `patience` even if nothing passes.
    pub(in crate::http) fn begin(now: Instant, patience: Duration) -> Self {
        Self {
            deadline: now + patience,
        }
    }

    pub(in crate::http) fn passed(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.deadline += Duration::from_secs(bytes.into()) / BYTES_PER_SECOND;
    }

    /// The transfer is too slow if nothing more has passed by then.
    pub(in crate::http) fn deadline(self) -> Instant {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_clock::Clock;

    #[test]
    fn every_16_kib_buy_a_second() {
        let now = Clock.instant();
        let mut rate = MinimumRate::begin(now, Duration::from_secs(10));
        assert_eq!(rate.deadline() - now, Duration::from_secs(10));
        rate.passed(16 * 1024);
        rate.passed(8 * 1024);
        assert_eq!(rate.deadline() - now, Duration::from_millis(11_500));
        rate.passed(1);
        assert!(rate.deadline() - now < Duration::from_millis(11_501));
    }
}

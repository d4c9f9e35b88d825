//! When a failed delivery is tried again.

use std::time::Duration;

/// The longest `Retry-After` that is honoured.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The most pauses that a schedule is filled up to.
const MAX_REPEATED: usize = 1000;

/// The pauses between the attempts of one delivery. One attempt more than there are pauses; without any, a
/// delivery is tried once.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySchedule {
    delays: Vec<Duration>,
    jitter: f64,
}

impl RetrySchedule {
    /// `jitter` is the largest part of a pause that is added to it at random: with 0.1, a pause of 10 s
    /// takes between 10 s and 11 s. A negative one counts as 0.
    pub fn new(delays: Vec<Duration>, jitter: f64) -> Self {
        Self {
            delays,
            jitter: jitter.max(0.0),
        }
    }

    /// The same jitter with other pauses.
    pub fn with_delays(&self, delays: Vec<Duration>) -> Self {
        Self {
            delays,
            jitter: self.jitter,
        }
    }

    /// Limits the schedule to this number of attempts. A shorter schedule that has pauses is filled up to it by
    /// repeating its last pause, with at most 1,000 pauses; one without pauses keeps its single attempt.
    pub fn limit_attempts(&mut self, attempts: u32) {
        let pauses = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let last = self.delays.last().copied();
        self.delays.truncate(pauses);
        if let Some(last) = last {
            // Bounded, so that a schedule stays small.
            self.delays.resize(pauses.min(MAX_REPEATED), last);
        }
    }

    /// How often a delivery is tried before it is given up.
    pub fn max_attempts(&self) -> u32 {
        u32::try_from(self.delays.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }

    /// How long all pauses take together, without jitter.
    pub fn total(&self) -> Duration {
        self.delays
            .iter()
            .copied()
            .fold(Duration::ZERO, Duration::saturating_add)
    }

    /// How long all pauses take together at most, with jitter.
    pub fn longest(&self) -> Duration {
        let total = self.total();
        Duration::try_from_secs_f64(total.as_secs_f64() * self.jitter)
            .map_or(Duration::MAX, |extra| total.saturating_add(extra))
    }

    /// The pause after the attempt with this number (1-based), or `None` when it was the last one.
    ///
    /// `random` is from `[0, 1)`; jitter only ever adds. `retry_after` is a minimum, itself at most
    /// [`MAX_RETRY_AFTER`]; it prolongs a pause but never adds an attempt.
    pub fn delay_after(&self, attempts: u32, random: f64, retry_after: Option<Duration>) -> Option<Duration> {
        let index = usize::try_from(attempts.checked_sub(1)?).ok()?;
        let delay = *self.delays.get(index)?;
        let extra =
            Duration::try_from_secs_f64(delay.as_secs_f64() * self.jitter * random).unwrap_or_default();
        let minimum = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
        Some(delay.saturating_add(extra).max(minimum))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_limit_cuts_a_schedule_or_repeats_its_last_pause() {
        let pauses = |attempts| {
            let mut schedule = RetrySchedule::new(vec![SECOND, SECOND * 2], 0.0);
            schedule.limit_attempts(attempts);
            (1..=schedule.max_attempts())
                .filter_map(|attempt| schedule.delay_after(attempt, 0.0, None))
                .collect::<Vec<_>>()
        };
        assert!(pauses(1).is_empty());
        assert_eq!(pauses(2), [SECOND]);
        assert_eq!(pauses(4), [SECOND, SECOND * 2, SECOND * 2]);
        let mut once = RetrySchedule::new(vec![], 0.0);
        once.limit_attempts(3);
        assert_eq!(once.max_attempts(), 1, "there is no pause to repeat");
    }

    #[test]
    fn without_pauses_there_is_one_attempt() {
        let schedule = RetrySchedule::new(vec![], 0.1);
        assert_eq!(schedule.max_attempts(), 1);
        assert_eq!(schedule.delay_after(1, 0.5, Some(SECOND)), None);
    }

    #[test]
    fn each_attempt_has_its_pause_until_they_are_used_up() {
        let schedule = RetrySchedule::new(vec![SECOND, 5 * SECOND], 0.0);
        assert_eq!(schedule.delay_after(1, 0.9, None), Some(SECOND));
        assert_eq!(schedule.delay_after(2, 0.9, None), Some(5 * SECOND));
        assert_eq!(schedule.delay_after(3, 0.9, None), None);
    }

    #[test]
    fn the_whole_schedule_is_the_sum_of_its_pauses() {
        assert_eq!(RetrySchedule::new(vec![], 0.2).total(), Duration::ZERO);
        assert_eq!(
            RetrySchedule::new(vec![SECOND, 5 * SECOND], 0.2).total(),
            6 * SECOND
        );
        assert_eq!(
            RetrySchedule::new(vec![Duration::MAX, SECOND], 0.0).total(),
            Duration::MAX
        );
    }

    #[test]
    fn with_jitter_a_schedule_takes_longer() {
        let longest = |delays, jitter| RetrySchedule::new(delays, jitter).longest();
        assert_eq!(longest(vec![SECOND, 3 * SECOND], 0.5), 6 * SECOND);
        assert_eq!(longest(vec![], 0.5), Duration::ZERO);
        assert_eq!(longest(vec![Duration::MAX, SECOND], 0.1), Duration::MAX);
        assert_eq!(longest(vec![SECOND], f64::INFINITY), Duration::MAX);
    }

    #[test]
    fn retry_after_is_a_minimum_and_at_most_a_day() {
        let schedule = RetrySchedule::new(vec![10 * SECOND], 0.0);
        assert_eq!(schedule.delay_after(1, 0.0, Some(SECOND)), Some(10 * SECOND));
        assert_eq!(schedule.delay_after(1, 0.0, Some(60 * SECOND)), Some(60 * SECOND));
        assert_eq!(
            schedule.delay_after(1, 0.0, Some(Duration::MAX)),
            Some(MAX_RETRY_AFTER)
        );
    }

    proptest! {
        #[test]
        fn jitter_only_adds_and_stays_within_its_part(
            millis in prop::collection::vec(0_u64..100_000_000, 0..8),
            jitter in 0.0..2.0_f64,
            random in 0.0..1.0_f64,
            attempts in 0_u32..12,
            retry_after in prop::option::of(0_u64..200_000),
        ) {
            let delays: Vec<_> = millis.iter().copied().map(Duration::from_millis).collect();
            let schedule = RetrySchedule::new(delays.clone(), jitter);
            let retry_after = retry_after.map(Duration::from_secs);
            let pause = schedule.delay_after(attempts, random, retry_after);
            prop_assert_eq!(pause.is_some(), attempts >= 1 && attempts < schedule.max_attempts());
            if let Some(pause) = pause {
                let delay = delays[attempts as usize - 1];
                let minimum = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
                prop_assert!(pause >= delay && pause >= minimum);
                prop_assert!(pause <= delay.mul_f64(1.0 + jitter).max(minimum) + Duration::from_micros(1));
            }
        }

        #[test]
        fn odd_numbers_do_not_panic(jitter in any::<f64>(), random in any::<f64>(), millis in any::<u64>()) {
            let schedule = RetrySchedule::new(vec![Duration::from_millis(millis)], jitter);
            prop_assert!(schedule.delay_after(1, random, None) >= Some(Duration::from_millis(millis)));
        }
    }
}

//! The rate limit: a token bucket in whole numbers, so that it neither drifts nor rounds.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// What one attempt costs. A limit of n per second earns n of these thousandths each millisecond.
const ATTEMPT: u64 = 1_000;

/// At most `per_second` attempts at once, and then one each time the limit allows it. Over any time of t
/// seconds that makes at most (t + 1) × `per_second` attempts.
#[derive(Debug)]
pub(super) struct Rate {
    /// `None` for any number.
    per_second: Option<u64>,
    /// Thousandths of attempts in the bucket at `counted_at`.
    level: u64,
    counted_at: Timestamp,
}

impl Rate {
    /// A full bucket. A limit of 0 counts as 1.
    pub(super) fn new(per_second: Option<u32>, now: Timestamp) -> Self {
        let per_second = per_second.map(|limit| u64::from(limit.max(1)));
        Self {
            per_second,
            level: per_second.unwrap_or(0) * ATTEMPT,
            counted_at: now,
        }
    }

    /// The same limit again changes nothing; a new limit keeps the level of the bucket, up to its own size.
    pub(super) fn change(&mut self, per_second: Option<u32>, now: Timestamp) {
        let changed = Self::new(per_second, now);
        if changed.per_second == self.per_second {
            return;
        }
        let former = self.per_second.map(|limit| self.level_at(limit, now));
        *self = Self {
            level: former.map_or(changed.level, |level| level.min(changed.level)),
            ..changed
        };
    }

    /// When the next attempt may start: now or later.
    pub(super) fn opens_at(&self, now: Timestamp) -> Timestamp {
        let Some(limit) = self.per_second else { return now };
        let missing = ATTEMPT.saturating_sub(self.level_at(limit, now));
        now + Duration::from_millis(missing.div_ceil(limit))
    }

    /// An attempt starts.
    pub(super) fn take(&mut self, now: Timestamp) {
        if let Some(limit) = self.per_second {
            self.level = self.level_at(limit, now).saturating_sub(ATTEMPT);
            self.counted_at = now;
        }
    }

    fn level_at(&self, limit: u64, now: Timestamp) -> u64 {
        let passed = u64::try_from(now.since(self.counted_at).as_millis()).unwrap_or(u64::MAX);
        // A second fills the bucket.
        (self.level + passed.min(1_000) * limit).min(limit * ATTEMPT)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(0) + Duration::from_millis(millis)
    }

    fn take_all(rate: &mut Rate, now: Timestamp) -> usize {
        let mut taken = 0;
        while rate.per_second.is_some() && rate.opens_at(now) <= now {
            rate.take(now);
            taken += 1;
        }
        taken
    }

    #[test]
    fn without_a_limit_it_is_always_open() {
        let mut rate = Rate::new(None, at(0));
        (0..10_000).for_each(|_| rate.take(at(0)));
        assert_eq!(rate.opens_at(at(0)), at(0));
    }

    #[test]
    fn a_burst_is_at_most_one_second_s_worth_however_long_it_was_quiet() {
        let mut rate = Rate::new(Some(5), at(0));
        assert_eq!(take_all(&mut rate, at(1_000_000)), 5);
        assert_eq!(rate.opens_at(at(1_000_000)), at(1_000_200));
    }

    #[test]
    fn a_limit_that_does_not_divide_a_second_does_not_drift() {
        let mut rate = Rate::new(Some(7), at(0));
        assert_eq!(take_all(&mut rate, at(0)), 7);
        let taken: usize = (1..=60_000).map(|millis| take_all(&mut rate, at(millis))).sum();
        assert_eq!(taken, 7 * 60);
    }

    #[test]
    fn the_same_limit_again_does_not_fill_the_bucket_and_a_lower_one_empties_it_to_its_size() {
        let mut rate = Rate::new(Some(10), at(0));
        take_all(&mut rate, at(0));
        rate.change(Some(10), at(0));
        assert_eq!(take_all(&mut rate, at(0)), 0);
        rate.change(Some(2), at(1_000));
        assert_eq!(take_all(&mut rate, at(1_000)), 2);
        rate.change(None, at(1_000));
        rate.change(Some(3), at(1_000));
        assert_eq!(take_all(&mut rate, at(1_000)), 3);
    }

    proptest! {
        #[test]
        fn it_opens_exactly_when_it_says(
            limit in 1_u32..5_000,
            pauses in prop::collection::vec(0_u64..2_000, 1..50),
        ) {
            let mut rate = Rate::new(Some(limit), at(0));
            let mut now = 0;
            for pause in pauses {
                now += pause;
                take_all(&mut rate, at(now));
                let opens = rate.opens_at(at(now));
                prop_assert!(opens > at(now));
                prop_assert!(rate.opens_at(opens) <= opens);
                let just_before = opens - Duration::from_millis(1);
                prop_assert!(rate.opens_at(just_before) > just_before);
            }
        }
    }
}

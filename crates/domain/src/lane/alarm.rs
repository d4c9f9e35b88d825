//! The alarm: when the lane asked to be woken.

use crate::timestamp::Timestamp;

#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// The time last asked for and not yet come.
    set_to: Option<Timestamp>,
}

impl Alarm {
    /// The time asked for has come.
    pub(super) fn came(&mut self) {
        self.set_to = None;
    }

    /// The time to ask for, so that the lane is woken for the first of these that is still to come; `None` if it is
    /// woken by then anyway. An alarm that is set to an earlier time is left as it is: its tick finds nothing to do
    /// and sets it anew.
    pub(super) fn set(
        &mut self,
        times: impl Iterator<Item = Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let first = times.filter(|at| *at > now).min()?;
        if self.set_to.is_some_and(|at| at <= first) {
            return None;
        }
        self.set_to = Some(first);
        self.set_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(alarm: &mut Alarm, times: &[i64], now: i64) -> Option<i64> {
        let times = times.iter().copied().map(Timestamp::from_millis);
        alarm
            .set(times, Timestamp::from_millis(now))
            .map(Timestamp::millis)
    }

    #[test]
    fn it_is_set_to_the_first_time_that_is_still_to_come() {
        assert_eq!(set(&mut Alarm::default(), &[7, 3, 5, 2], 3), Some(5));
        assert_eq!(set(&mut Alarm::default(), &[2, 3], 3), None);
    }

    #[test]
    fn only_an_earlier_time_sets_it_anew_before_it_has_come() {
        let mut alarm = Alarm::default();
        assert_eq!(set(&mut alarm, &[5], 0), Some(5));
        assert_eq!(set(&mut alarm, &[5], 0), None);
        assert_eq!(set(&mut alarm, &[9], 0), None);
        assert_eq!(set(&mut alarm, &[4], 0), Some(4));
        alarm.came();
        assert_eq!(set(&mut alarm, &[9], 4), Some(9));
    }
}

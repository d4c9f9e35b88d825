//! How soon, and how often, an actor that died is replaced.
//!
//! The pause before a replacement doubles with each death and is forgotten after a quiet minute. A delivery
//! actor may die 7 times in a minute of its own fault: the first panic, when many deliveries were in flight,
//! identifies no event, and each poisonous event takes 3 more until it is a dead letter, so that two of them
//! (1 + 3 + 3) are dead letters before the limit is reached. The eighth death, after about 6 s of pauses, marks
//! the installation as failed: see [`FailedInstallations`](super::failed::FailedInstallations).

use std::{collections::VecDeque, time::Duration};

use pointsman_domain::timestamp::Timestamp;

/// Deaths older than this do not count, and after so long without a death the pauses start anew.
const QUIET_TIME: Duration = Duration::from_secs(60);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct RestartPolicy {
    /// Before the first replacement.
    first_pause: Duration,
    longest_pause: Duration,
    /// Deaths of its own fault in [`QUIET_TIME`] that the actor survives.
    limit: usize,
}

pub(super) const DELIVERY_ACTOR: RestartPolicy = RestartPolicy {
    first_pause: Duration::from_millis(50),
    longest_pause: Duration::from_secs(30),
    limit: 7,
};

/// Replaced for ever: publishers go on, only its deliveries wait for the pause.
pub(super) const WORKSPACE_ACTOR: RestartPolicy = RestartPolicy {
    first_pause: Duration::from_millis(100),
    longest_pause: Duration::from_secs(30),
    limit: usize::MAX,
};

/// Replaced for ever: all workspaces need it, so that the pauses stay short.
pub(super) const SINGLE_ACTOR: RestartPolicy = RestartPolicy {
    first_pause: Duration::from_millis(50),
    longest_pause: Duration::from_secs(5),
    limit: usize::MAX,
};

/// Whose fault a death was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A panic, or rows that the database refuses. Counts towards the limit.
    Own,
    /// Another actor's, for instance one that died with a message of this one. Only makes the pause longer.
    Foreign,
}

/// What follows a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Replace {
        after: Duration,
    },
    /// Over the limit.
    GiveUp,
}

/// The deaths of one actor and its successors.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    in_a_row: u32,
    last: Option<Timestamp>,
    /// Those that count towards the limit.
    counted: VecDeque<Timestamp>,
    pause: Duration,
}

impl Deaths {
    /// Records a death. Does not panic.
    pub(super) fn died(&mut self, fault: Fault, policy: &RestartPolicy, now: Timestamp) -> Next {
        if self.last.is_some_and(|last| now.since(last) > QUIET_TIME) {
            self.in_a_row = 0;
        }
        self.last = Some(now);
        self.pause = policy
            .first_pause
            .saturating_mul(1 << self.in_a_row.min(16))
            .min(policy.longest_pause);
        self.in_a_row = self.in_a_row.saturating_add(1);
        if fault == Fault::Own && policy.limit < usize::MAX {
            self.counted.retain(|death| now.since(*death) <= QUIET_TIME);
            self.counted.push_back(now);
            if self.counted.len() > policy.limit {
                return Next::GiveUp;
            }
        }
        Next::Replace { after: self.pause }
    }

    /// How long a replacement waits before it begins, counted from the last death.
    pub(super) fn pause(&self, now: Timestamp) -> Duration {
        self.last
            .map_or(Duration::ZERO, |last| (last + self.pause).since(now))
    }

    /// The number of deaths without a quiet time in between.
    pub(super) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    /// Lets an actor die as soon as it is replaced. Returns how long it took until it was given up.
    fn dies_at_once(policy: &RestartPolicy, fault: Fault, times: u32) -> Option<Duration> {
        let (mut deaths, mut now) = (Deaths::default(), START);
        for _ in 0..times {
            match deaths.died(fault, policy, now) {
                Next::Replace { after } => now = now + after,
                Next::GiveUp => return Some(now.since(START)),
            }
        }
        None
    }

    #[test]
    fn two_poisonous_events_do_not_reach_the_limit_and_an_endless_loop_does_within_the_minute() {
        assert_eq!(dies_at_once(&DELIVERY_ACTOR, Fault::Own, 1 + 3 + 3), None);
        let until = dies_at_once(&DELIVERY_ACTOR, Fault::Own, 8).unwrap();
        assert_eq!(until, Duration::from_millis(50 * 127));
    }

    #[test]
    fn what_others_did_makes_the_pause_longer_and_never_gives_up() {
        assert_eq!(dies_at_once(&DELIVERY_ACTOR, Fault::Foreign, 1_000), None);
        let mut deaths = Deaths::default();
        deaths.died(Fault::Foreign, &DELIVERY_ACTOR, START);
        let second = deaths.died(Fault::Foreign, &DELIVERY_ACTOR, START);
        assert_eq!(
            second,
            Next::Replace {
                after: Duration::from_millis(100)
            }
        );
    }

    #[test]
    fn pauses_grow_to_the_longest_and_start_anew_after_a_quiet_time() {
        let (mut deaths, mut now) = (Deaths::default(), START);
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            deaths.died(Fault::Own, &WORKSPACE_ACTOR, now);
            assert!(deaths.pause(now) >= last);
            last = deaths.pause(now);
            now = now + last;
        }
        assert_eq!(last, Duration::from_secs(30));
        assert_eq!(deaths.pause(now), Duration::ZERO, "the pause is over");
        now = now + QUIET_TIME + Duration::from_secs(1);
        deaths.died(Fault::Own, &WORKSPACE_ACTOR, now);
        assert_eq!(deaths.pause(now), Duration::from_millis(100));
    }
}

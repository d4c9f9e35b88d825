//! The outcome: how a delivery goes on after an attempt.

use std::sync::Arc;

use super::{DeliveryKey, GivenUp, ParkedRetry};
use crate::{
    attempt::{AttemptResult, DeadLetterReason, DeliveryKind, Verdict},
    event::PlatformEvent,
    id::DeadLetterId,
    retry_schedule::RetrySchedule,
    seq::Seq,
    timestamp::Timestamp,
};

/// How a delivery goes on after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    /// The next attempt is due at this time.
    Parked(Timestamp),
    GivenUp(DeadLetterReason),
}

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct EndedAttempt {
    pub(super) key: DeliveryKey,
    pub(super) event: Arc<PlatformEvent>,
    /// The number of the attempt, from 1: how many were made.
    pub(super) attempt: u32,
    pub(super) dead_letter_id: Option<DeadLetterId>,
    pub(super) result: AttemptResult,
    /// Whether it is an attempt of a busy retry, stragglers among them, and not of a slot of the window.
    pub(super) is_retry: bool,
}

impl EndedAttempt {
    /// `schedule` holds where the result brings none of its own. A lane that is closing parks nothing. `random` is from
    /// `[0, 1)`.
    pub(super) fn outcome(
        &self,
        schedule: &RetrySchedule,
        is_closing: bool,
        now: Timestamp,
        random: f64,
    ) -> Outcome {
        let retry_after = match self.result.verdict {
            Verdict::Delivered => return Outcome::Delivered,
            Verdict::GiveUp(reason) => return Outcome::GivenUp(reason),
            // A replay is one attempt.
            Verdict::Retry { .. } if self.key.kind == DeliveryKind::Replay => {
                return Outcome::GivenUp(DeadLetterReason::RetriesExhausted);
            }
            Verdict::Retry { retry_after } => retry_after,
        };
        let schedule = self.result.retry_schedule.as_deref().unwrap_or(schedule);
        match schedule.delay_after(self.attempt, random, retry_after) {
            None => Outcome::GivenUp(DeadLetterReason::RetriesExhausted),
            Some(_) if is_closing => Outcome::GivenUp(DeadLetterReason::Uninstalled),
            Some(delay) => Outcome::Parked(now + delay),
        }
    }

    pub(super) fn into_parked(self, next_attempt_at: Timestamp) -> ParkedRetry {
        ParkedRetry {
            key: self.key,
            seq: self.event.seq,
            attempts: self.attempt,
            next_attempt_at,
            last_error: self.result.error,
            last_status: self.result.http_status,
        }
    }

    pub(super) fn into_given_up(self, reason: DeadLetterReason, settled: Seq) -> GivenUp {
        GivenUp {
            key: self.key,
            event: self.event,
            settled,
            reason,
            attempts: self.attempt,
            last_status: self.result.http_status,
            last_error: self.result.error,
            dead_letter_id: self.dead_letter_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::tests::{FAILED, event, live_key, result},
        *,
    };

    const NOW: Timestamp = Timestamp::from_millis(0);
    const SECOND: Duration = Duration::from_secs(1);
    const EXHAUSTED: Outcome = Outcome::GivenUp(DeadLetterReason::RetriesExhausted);

    fn failed(kind: DeliveryKind, attempt: u32) -> EndedAttempt {
        EndedAttempt {
            key: DeliveryKey { kind, ..live_key(1) },
            event: event(1),
            attempt,
            dead_letter_id: None,
            result: result(FAILED),
            is_retry: false,
        }
    }

    fn outcome(ended: &EndedAttempt, is_closing: bool) -> Outcome {
        let schedule = RetrySchedule::new(vec![5 * SECOND], 0.0);
        ended.outcome(&schedule, is_closing, NOW, 0.5)
    }

    #[test]
    fn a_failure_is_parked_by_the_schedule_until_that_is_exhausted() {
        assert_eq!(
            outcome(&failed(DeliveryKind::Live, 1), false),
            Outcome::Parked(NOW + 5 * SECOND)
        );
        assert_eq!(outcome(&failed(DeliveryKind::Live, 2), false), EXHAUSTED);
    }

    #[test]
    fn a_schedule_of_the_result_comes_before_that_of_the_lane() {
        let mut ended = failed(DeliveryKind::Live, 1);
        ended.result.retry_schedule = Some(Arc::new(RetrySchedule::new(vec![SECOND], 0.0)));
        assert_eq!(outcome(&ended, false), Outcome::Parked(NOW + SECOND));
    }

    #[test]
    fn a_replay_is_one_attempt() {
        assert_eq!(outcome(&failed(DeliveryKind::Replay, 1), false), EXHAUSTED);
    }

    #[test]
    fn a_closing_lane_parks_nothing() {
        let uninstalled = Outcome::GivenUp(DeadLetterReason::Uninstalled);
        assert_eq!(outcome(&failed(DeliveryKind::Live, 1), true), uninstalled);
    }
}

//! A delivery that was not started: its attempt, or its letter if it is given up without one.

use super::{
    Delivery, Due, GivenUp, RetryRow,
    breaker::{Breaker, Source},
    poison::PoisonTracker,
};
use crate::{attempt::DeadLetterReason, seq::Seq};

#[derive(Debug)]
pub(super) enum Unstarted {
    Event(Due),
    Retry(RetryRow),
}

impl Unstarted {
    pub(super) fn source(&self) -> Source {
        match self {
            Self::Event(_) => Source::Events,
            Self::Retry(_) => Source::Retries,
        }
    }

    pub(super) fn into_attempt(self) -> Delivery {
        match self {
            Self::Event(due) => Delivery {
                key: due.live_key(),
                event: due.event,
                attempt: 1,
                dead_letter_id: None,
            },
            Self::Retry(row) => Delivery {
                key: row.key,
                event: row.event,
                attempt: row.attempts.saturating_add(1),
                dead_letter_id: row.dead_letter_id,
            },
        }
    }

    /// `settled` is the cursor that is written with the letter.
    pub(super) fn into_given_up(self, reason: DeadLetterReason, settled: Seq) -> GivenUp {
        match self {
            Self::Event(due) => GivenUp {
                key: due.live_key(),
                event: due.event,
                settled,
                reason,
                attempts: 0,
                last_status: None,
                last_error: None,
                dead_letter_id: None,
            },
            Self::Retry(row) => GivenUp {
                key: row.key,
                event: row.event,
                settled,
                reason,
                attempts: row.attempts,
                last_status: row.last_status,
                last_error: row.last_error,
                dead_letter_id: row.dead_letter_id,
            },
        }
    }
}

/// Names in the letter why the delivery was not attempted, where its reason alone does not say it.
pub(super) fn name_cause(given_up: &mut GivenUp, breaker: &Breaker, poison: &PoisonTracker) {
    if given_up.reason == DeadLetterReason::BreakerOpen {
        name_breaker(given_up, breaker);
    } else if let Some(defect) = &given_up.event.defect {
        given_up.last_error = Some(defect.to_string());
    } else if let Some(panics) = poison.too_many_panics(given_up.key) {
        // An attempt that ended in a panic of the actor is counted nowhere else.
        given_up.attempts = given_up.attempts.saturating_add(panics);
        given_up.last_error = Some(format!("the delivery actor panicked {panics} times over it"));
    }
}

/// A letter names the failure that kept the breaker open and, after it, the error of the delivery's own attempts.
fn name_breaker(given_up: &mut GivenUp, breaker: &Breaker) {
    let (Some(since), Some(cause)) = (breaker.open_since(), breaker.cause()) else {
        return;
    };
    let mut error = format!("held by the open breaker since {}", since.to_rfc3339());
    if let Some(cause) = &cause.error {
        error = format!("{error}: {cause}");
    }
    match given_up.last_error.take() {
        Some(own) => error = format!("{error}; its own last attempt: {own}"),
        None => given_up.last_status = cause.status,
    }
    given_up.last_error = Some(error);
}

#[cfg(test)]
mod tests {
    use std::{iter, time::Duration};

    use super::{
        super::{
            Suspicion,
            breaker::Times,
            tests::{FAILED, due, event, result},
        },
        *,
    };
    use crate::timestamp::Timestamp;

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn breaker() -> Breaker {
        let second = Duration::from_secs(1);
        let times = Times {
            longest_pause: second,
            longest_hold: second,
        };
        Breaker::new(Some(1), times)
    }

    fn given_up(reason: DeadLetterReason) -> GivenUp {
        GivenUp {
            key: due(1).live_key(),
            event: event(1),
            settled: Seq::ZERO,
            reason,
            attempts: 1,
            last_status: Some(500),
            last_error: Some("no room".into()),
            dead_letter_id: None,
        }
    }

    #[test]
    fn the_breaker_s_cause_comes_before_the_delivery_s_own_error() {
        let mut breaker = breaker();
        let mut failure = result(FAILED);
        failure.error = Some("down".into());
        breaker.failed(&failure, NOW);
        let mut given_up = given_up(DeadLetterReason::BreakerOpen);
        name_cause(
            &mut given_up,
            &breaker,
            &PoisonTracker::new(Suspicion::default(), NOW),
        );
        assert_eq!(
            given_up.last_error.as_deref(),
            Some(
                "held by the open breaker since 1970-01-01T00:00:00.000Z: down; its own last attempt: no room"
            )
        );
        assert_eq!(given_up.last_status, Some(500), "that of its own attempt");
    }

    #[test]
    fn panics_count_as_attempts_and_are_named() {
        let key = due(1).live_key();
        let mut suspicion = Suspicion::default();
        for _ in 0..4 {
            let poison = PoisonTracker::new(suspicion, NOW);
            suspicion = poison.after_panic(Some(Seq::new(1)), iter::once(key), iter::empty());
        }
        let mut given_up = given_up(DeadLetterReason::Poison);
        name_cause(&mut given_up, &breaker(), &PoisonTracker::new(suspicion, NOW));
        assert_eq!(given_up.attempts, 4, "the first panic names nobody");
        assert_eq!(
            given_up.last_error.as_deref(),
            Some("the delivery actor panicked 3 times over it")
        );
    }

    #[test]
    fn what_has_expired_keeps_the_error_of_its_last_attempt() {
        let mut expired = given_up(DeadLetterReason::Expired);
        name_cause(
            &mut expired,
            &breaker(),
            &PoisonTracker::new(Suspicion::default(), NOW),
        );
        assert_eq!(expired.last_error.as_deref(), Some("no room"));
    }
}

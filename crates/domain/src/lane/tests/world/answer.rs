//! The answers of the service, as the lane sees them.

use super::*;

/// How the service answers an attempt.
#[derive(Clone, Debug)]
pub(in crate::lane) struct Answer {
    pub(in crate::lane::tests) verdict: Verdict,
    pub(in crate::lane::tests) status: u16,
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        let status = match verdict {
            Verdict::Delivered => 200,
            Verdict::Retry { .. } => 503,
            Verdict::GiveUp(_) => 410,
        };
        Self { verdict, status }
    }
}

impl Answer {
    pub(super) fn is_sign_of_life(&self) -> bool {
        match self.verdict {
            Verdict::Delivered | Verdict::GiveUp(_) => true,
            Verdict::Retry { .. } => {
                (400..500).contains(&self.status) && ![408, 425, 429].contains(&self.status)
            }
        }
    }

    /// The longest pause of a breaker after a probe with this answer.
    pub(in crate::lane::tests) fn longest_pause(&self, of: Duration) -> Duration {
        match self.status {
            500 | 501 | 505.. => of.min(Duration::from_secs(1)),
            _ => of,
        }
    }

    pub(super) fn error(&self) -> Option<String> {
        (self.verdict != Verdict::Delivered).then(|| format!("answered {}", self.status))
    }
}

pub(in crate::lane) fn result(answer: impl Into<Answer>) -> AttemptResult {
    let answer = answer.into();
    AttemptResult {
        outcome: match answer.status {
            ..400 => AttemptOutcome::Delivered,
            400..500 => AttemptOutcome::Http4xx,
            500.. => AttemptOutcome::Http5xx,
        },
        http_status: Some(answer.status),
        duration: Duration::from_millis(1),
        error: answer.error(),
        verdict: answer.verdict,
        response: None,
        disable: false,
        retry_schedule: None,
    }
}

pub(in crate::lane) const FAILED: Verdict = Verdict::Retry { retry_after: None };
pub(in crate::lane::tests) const GONE: Verdict = Verdict::GiveUp(DeadLetterReason::Gone);
/// The service itself fails, perhaps on this event alone.
pub(in crate::lane::tests) const BROKEN: Answer = Answer {
    verdict: FAILED,
    status: 500,
};
/// A 4xx that is tried again.
pub(in crate::lane::tests) const REFUSED: Answer = Answer {
    verdict: FAILED,
    status: 422,
};
/// A 4xx that says that the service is in trouble.
pub(in crate::lane::tests) const BUSY: Answer = Answer {
    verdict: FAILED,
    status: 429,
};

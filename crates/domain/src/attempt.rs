//! What came of one attempt to deliver one event to one installation.

#![warn(missing_docs)]

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::retry_schedule::RetrySchedule;

/// Why a delivery was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeliveryKind {
    /// The event was due when it was published.
    Live,
    /// An admin replays a dead letter.
    Replay,
}

impl DeliveryKind {
    /// As the API and the database write it, such as `LIVE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Replay => "REPLAY",
        }
    }

    /// The reverse of `as_str`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "LIVE" => Some(Self::Live),
            "REPLAY" => Some(Self::Replay),
            _ => None,
        }
    }
}

/// How an attempt ended, as kept in the history and shown to admins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttemptOutcome {
    /// The service answered 2xx, or the handler returned `Ok`.
    Delivered,
    /// The connection could not be made.
    Connect,
    /// The address is in a network that `delivery.allow_networks` does not allow.
    AddressRefused,
    /// The host name of the service could not be resolved.
    Dns,
    /// The TLS handshake failed, as for a certificate that is not trusted.
    Tls,
    /// A service did not send a complete head within `delivery.timeout`, or a handler took longer than
    /// `in_process.sync_timeout` or `in_process.async_timeout`, or its effect longer than `in_process.effect_timeout`.
    Timeout,
    /// The answer was not HTTP, or ended before its head was complete.
    Protocol,
    /// The service answered 3xx: redirects are not followed.
    #[serde(rename = "HTTP_3XX")]
    Http3xx,
    /// The service answered 4xx.
    #[serde(rename = "HTTP_4XX")]
    Http4xx,
    /// The service answered 5xx.
    #[serde(rename = "HTTP_5XX")]
    Http5xx,
    /// The attempt itself panicked.
    Panic,
    /// The installation cannot be called as it is configured.
    Misconfigured,
    /// The handler returned an error.
    HandlerError,
    /// The payload does not fit the handler's type.
    InvalidPayload,
    /// The extension has no handler of this name, or for this event.
    NoHandler,
}

impl AttemptOutcome {
    /// As the API and the database write it, such as `HTTP_5XX`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "DELIVERED",
            Self::Connect => "CONNECT",
            Self::AddressRefused => "ADDRESS_REFUSED",
            Self::Dns => "DNS",
            Self::Tls => "TLS",
            Self::Timeout => "TIMEOUT",
            Self::Protocol => "PROTOCOL",
            Self::Http3xx => "HTTP_3XX",
            Self::Http4xx => "HTTP_4XX",
            Self::Http5xx => "HTTP_5XX",
            Self::Panic => "PANIC",
            Self::Misconfigured => "MISCONFIGURED",
            Self::HandlerError => "HANDLER_ERROR",
            Self::InvalidPayload => "INVALID_PAYLOAD",
            Self::NoHandler => "NO_HANDLER",
        }
    }
}

/// Why a delivery was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeadLetterReason {
    /// Every attempt of the retry schedule failed.
    RetriesExhausted,
    /// The service answered 410 Gone.
    Gone,
    /// The service answered `webhook-delivery: abort-message` or `disable`.
    Aborted,
    /// The extension was uninstalled before the event was delivered.
    Uninstalled,
    /// It was held by the open breaker for longer than the whole retry schedule, and at least ten minutes.
    BreakerOpen,
    /// It was held for longer than `retention.max_hold` while the extension was disabled or paused.
    Expired,
    /// Delivering it made the delivery actor panic again and again.
    Poison,
    /// What the database keeps of the event cannot be delivered.
    Corrupt,
    /// The payload of the event was erased before the event was delivered.
    Erased,
    /// The handler says that it can never succeed.
    #[serde(rename = "PERMANENT_ERROR")]
    Permanent,
    /// The payload does not fit the handler's type.
    InvalidPayload,
    /// The extension has no handler of this name, or for this event.
    NoHandler,
}

impl DeadLetterReason {
    /// As the API and the database write it, such as `RETRIES_EXHAUSTED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RetriesExhausted => "RETRIES_EXHAUSTED",
            Self::Gone => "GONE",
            Self::Aborted => "ABORTED",
            Self::Uninstalled => "UNINSTALLED",
            Self::BreakerOpen => "BREAKER_OPEN",
            Self::Expired => "EXPIRED",
            Self::Poison => "POISON",
            Self::Corrupt => "CORRUPT",
            Self::Erased => "ERASED",
            Self::Permanent => "PERMANENT_ERROR",
            Self::InvalidPayload => "INVALID_PAYLOAD",
            Self::NoHandler => "NO_HANDLER",
        }
    }

    /// The reverse of `as_str`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::RetriesExhausted,
            Self::Gone,
            Self::Aborted,
            Self::Uninstalled,
            Self::BreakerOpen,
            Self::Expired,
            Self::Poison,
            Self::Corrupt,
            Self::Erased,
            Self::Permanent,
            Self::InvalidPayload,
            Self::NoHandler,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == text)
    }
}

/// What an attempt's result asks for: how the lane goes on with the delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The delivery has ended well; there is no further attempt.
    Delivered,
    /// Try again by the schedule, but not before `retry_after`.
    Retry {
        /// How long the service (`Retry-After`, at most 24 h of it) or the handler (`HandlerError::retry_after`) asks
        /// to wait; `None`: as the schedule says.
        retry_after: Option<Duration>,
    },
    /// Never try again.
    GiveUp(DeadLetterReason),
}

/// The result of one attempt.
#[derive(Clone, Debug)]
pub struct AttemptResult {
    /// How it ended, for the history.
    pub outcome: AttemptOutcome,
    /// What follows for the delivery.
    pub verdict: Verdict,
    /// The status code of the service's answer; `None` without an answer, and for a handler.
    pub http_status: Option<u16>,
    /// From the start of the attempt to its end; that of an HTTP request is counted up to the head of the answer.
    pub duration: Duration,
    /// One line for a person; never a secret.
    pub error: Option<String>,
    /// At most the first KiB of the answer's body, lossily decoded.
    pub response: Option<String>,
    /// The service asked to be disabled (`webhook-delivery: disable`).
    pub disable: bool,
    /// Of this delivery alone, instead of the lane's.
    pub retry_schedule: Option<Arc<RetrySchedule>>,
}

impl AttemptResult {
    /// With texts that every database can keep: PostgreSQL takes no NUL, and a handler, a panic or a service may say
    /// anything. Whatever a lane, the history or a dead letter keeps of an attempt has passed here.
    #[must_use]
    pub fn storable(mut self) -> Self {
        for text in [&mut self.error, &mut self.response].into_iter().flatten() {
            if text.contains('\0') {
                *text = text.replace('\0', "\u{fffd}");
            }
        }
        self
    }

    /// Whether the attempt may have failed because of its event: the service itself has answered 500 or the like. 502,
    /// 503 and 504 say that it is away or overloaded.
    pub fn may_be_of_the_event(&self) -> bool {
        self.outcome == AttemptOutcome::Http5xx && !matches!(self.http_status, Some(502..=504))
    }

    /// Whether the service has shown that it lives: it took the delivery, answered that it is to be given up, or
    /// refused it as one that cannot be taken. 408 (Request Timeout), 425 (Too Early) and 429 (Too Many Requests)
    /// say that it is in trouble, as 5xx does.
    pub fn shows_life(&self) -> bool {
        match self.verdict {
            Verdict::Delivered | Verdict::GiveUp(_) => true,
            Verdict::Retry { .. } => {
                self.outcome == AttemptOutcome::Http4xx && !matches!(self.http_status, Some(408 | 425 | 429))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(outcome: AttemptOutcome, http_status: Option<u16>, verdict: Verdict) -> AttemptResult {
        AttemptResult {
            outcome,
            verdict,
            http_status,
            duration: Duration::ZERO,
            error: None,
            response: None,
            disable: false,
            retry_schedule: None,
        }
    }

    #[test]
    fn a_service_that_answers_for_good_or_refuses_a_delivery_lives() {
        const RETRY: Verdict = Verdict::Retry { retry_after: None };
        for (outcome, status, verdict, lives) in [
            (AttemptOutcome::Delivered, Some(200), Verdict::Delivered, true),
            (AttemptOutcome::Http4xx, Some(400), RETRY, true),
            (AttemptOutcome::Http4xx, Some(401), RETRY, true),
            (AttemptOutcome::Http4xx, Some(404), RETRY, true),
            (AttemptOutcome::Http4xx, Some(422), RETRY, true),
            (
                AttemptOutcome::Http4xx,
                Some(410),
                Verdict::GiveUp(DeadLetterReason::Gone),
                true,
            ),
            (
                AttemptOutcome::Http5xx,
                Some(500),
                Verdict::GiveUp(DeadLetterReason::Aborted),
                true,
            ),
            (AttemptOutcome::Http4xx, Some(408), RETRY, false),
            (AttemptOutcome::Http4xx, Some(425), RETRY, false),
            (AttemptOutcome::Http4xx, Some(429), RETRY, false),
            (AttemptOutcome::Http3xx, Some(302), RETRY, false),
            (AttemptOutcome::Http5xx, Some(500), RETRY, false),
            (AttemptOutcome::Timeout, None, RETRY, false),
            (AttemptOutcome::Connect, None, RETRY, false),
            (AttemptOutcome::Misconfigured, None, RETRY, false),
        ] {
            let result = result(outcome, status, verdict);
            assert_eq!(result.shows_life(), lives, "{result:?}");
        }
    }
}

//! What an answer, or the lack of one, means for the delivery. Pure.

use std::{
    io,
    time::{Duration, SystemTime},
};

use actix_http::error::ParseError;
use awc::{
    error::{ConnectError, SendRequestError},
    http::{
        StatusCode,
        header::{HeaderMap, HttpDate, RETRY_AFTER},
    },
};

use crate::dial_error::DialError;
use pointsman_domain::{
    attempt::{AttemptOutcome, DeadLetterReason, Verdict},
    timestamp::Timestamp,
};

/// The longest `Retry-After` that counts.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The parts of an attempt's result that follow from how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Classified {
    pub(super) outcome: AttemptOutcome,
    pub(super) verdict: Verdict,
    pub(super) error: Option<String>,
    pub(super) disable: bool,
}

impl Classified {
    pub(super) fn failed(outcome: AttemptOutcome, error: impl Into<String>) -> Self {
        let verdict = Verdict::Retry { retry_after: None };
        Self {
            outcome,
            verdict,
            error: Some(error.into()),
            disable: false,
        }
    }
}

/// The status line decides; `webhook-delivery` and `Retry-After` say more about a refusal.
pub(super) fn head(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Classified {
    let outcome = match status.as_u16() {
        200..=299 => AttemptOutcome::Delivered,
        300..=399 => AttemptOutcome::Http3xx,
        400..=499 => AttemptOutcome::Http4xx,
        500..=599 => AttemptOutcome::Http5xx,
        _ => AttemptOutcome::Protocol,
    };
    let wish = headers
        .get("webhook-delivery")
        .map_or("", |value| value.to_str().unwrap_or("").trim());
    let disable = wish.eq_ignore_ascii_case("disable");
    let verdict = if outcome == AttemptOutcome::Delivered {
        Verdict::Delivered
    } else if status == StatusCode::GONE {
        Verdict::GiveUp(DeadLetterReason::Gone)
    } else if disable || wish.eq_ignore_ascii_case("abort-message") {
        Verdict::GiveUp(DeadLetterReason::Aborted)
    } else {
        Verdict::Retry {
            retry_after: retry_after(status, headers, now),
        }
    };
    let error = (outcome != AttemptOutcome::Delivered).then(|| describe(status, outcome));
    Classified {
        outcome,
        verdict,
        error,
        disable,
    }
}

/// Every error before the head of the answer was complete.
pub(super) fn error(error: &SendRequestError) -> Classified {
    match error {
        SendRequestError::Connect(error) => connect_error(error),
        SendRequestError::Timeout => timed_out(),
        SendRequestError::Url(error) => Classified::failed(AttemptOutcome::Misconfigured, error.to_string()),
        SendRequestError::Http(error) => Classified::failed(AttemptOutcome::Misconfigured, error.to_string()),
        SendRequestError::Send(error) => broken_connection(error),
        SendRequestError::Response(ParseError::Io(error)) => broken_connection(error),
        SendRequestError::Response(error) => Classified::failed(
            AttemptOutcome::Protocol,
            format!("the answer is not HTTP: {error}"),
        ),
        other => Classified::failed(AttemptOutcome::Protocol, other.to_string()),
    }
}

/// Whether the connection is what failed, rather than what came over it.
pub(super) fn is_lost_connection(error: &SendRequestError) -> bool {
    matches!(
        error,
        SendRequestError::Connect(ConnectError::Disconnected)
            | SendRequestError::Send(_)
            | SendRequestError::Response(ParseError::Io(_))
    )
}

/// The head of the answer did not come in time, whatever held it up.
pub(super) fn timed_out() -> Classified {
    Classified::failed(AttemptOutcome::Timeout, "no answer in time")
}

fn describe(status: StatusCode, outcome: AttemptOutcome) -> String {
    match outcome {
        AttemptOutcome::Http3xx => format!("the service answered {status}; redirects are not followed"),
        AttemptOutcome::Protocol => format!("the service answered {status}, which is no final answer"),
        _ => format!("the service answered {status}"),
    }
}

fn connect_error(error: &ConnectError) -> Classified {
    match error {
        ConnectError::Resolver(error) => match error.downcast_ref::<DialError>() {
            Some(error) => dial_error(error),
            None => Classified::failed(AttemptOutcome::Dns, error.to_string()),
        },
        ConnectError::Timeout => timed_out(),
        ConnectError::Disconnected => Classified::failed(
            AttemptOutcome::Protocol,
            "the connection was closed before the answer's head",
        ),
        other => Classified::failed(AttemptOutcome::Connect, other.to_string()),
    }
}

fn dial_error(error: &DialError) -> Classified {
    let outcome = match error {
        DialError::Dns(_) => AttemptOutcome::Dns,
        DialError::Refused(_) => AttemptOutcome::AddressRefused,
        DialError::Connect(_) | DialError::NoIdleSlot => AttemptOutcome::Connect,
        DialError::Timeout => AttemptOutcome::Timeout,
        DialError::Tls(_) => AttemptOutcome::Tls,
    };
    Classified::failed(outcome, error.to_string())
}

/// With TLS 1.3 a refused client certificate is reported after the handshake, on the first read.
fn broken_connection(error: &io::Error) -> Classified {
    if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        return Classified::failed(AttemptOutcome::Tls, error.to_string());
    }
    // This error is ours: `stream` refuses a head that is too large.
    if error.kind() == io::ErrorKind::InvalidData && error.get_ref().is_some() {
        return Classified::failed(AttemptOutcome::Protocol, error.to_string());
    }
    let text = format!("the connection broke before the answer's head: {error}");
    Classified::failed(AttemptOutcome::Protocol, text)
}

/// Seconds or an HTTP date; anything else is ignored.
fn retry_after(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are still a number, and capped like any other.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = SystemTime::from(value.parse::<HttpDate>().ok()?);
        let millis = date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
        Timestamp::from_millis(i64::try_from(millis).ok()?).since(now)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use awc::http::header::{HeaderName, HeaderValue};

    use super::*;

    /// 2026-01-31T12:00:00Z
    const NOW: Timestamp = Timestamp::from_millis(1_769_860_800_000);

    fn classify(status: u16, headers: &[(&'static str, &'static str)]) -> Classified {
        let map = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        head(StatusCode::from_u16(status).unwrap(), &map, NOW)
    }

    fn wait(status: u16, retry_after: &'static str) -> Option<u64> {
        match classify(status, &[("retry-after", retry_after)]).verdict {
            Verdict::Retry { retry_after } => retry_after.map(|wait| wait.as_secs()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_status_line_decides() {
        for (status, outcome) in [
            (200, AttemptOutcome::Delivered),
            (204, AttemptOutcome::Delivered),
            (299, AttemptOutcome::Delivered),
            (103, AttemptOutcome::Protocol),
            (302, AttemptOutcome::Http3xx),
            (400, AttemptOutcome::Http4xx),
            (429, AttemptOutcome::Http4xx),
            (500, AttemptOutcome::Http5xx),
            (503, AttemptOutcome::Http5xx),
            (600, AttemptOutcome::Protocol),
        ] {
            let classified = classify(status, &[]);
            assert_eq!(classified.outcome, outcome, "{status}");
            let delivered = outcome == AttemptOutcome::Delivered;
            assert_eq!(classified.verdict == Verdict::Delivered, delivered, "{status}");
            assert_eq!(classified.error.is_none(), delivered, "{status}");
            assert!(!classified.disable);
        }
    }

    #[test]
    fn a_gone_service_is_given_up() {
        assert_eq!(
            classify(410, &[]).verdict,
            Verdict::GiveUp(DeadLetterReason::Gone)
        );
    }

    #[test]
    fn a_service_can_refuse_a_message_or_all_of_them() {
        let abort = classify(400, &[("webhook-delivery", "abort-message")]);
        assert_eq!(
            (abort.verdict, abort.disable),
            (Verdict::GiveUp(DeadLetterReason::Aborted), false)
        );
        let disable = classify(500, &[("webhook-delivery", " Disable ")]);
        assert_eq!(
            (disable.verdict, disable.disable),
            (Verdict::GiveUp(DeadLetterReason::Aborted), true)
        );
        let unknown = classify(500, &[("webhook-delivery", "later")]);
        assert_eq!(unknown.verdict, Verdict::Retry { retry_after: None });
    }

    #[test]
    fn a_success_is_a_success_even_when_the_service_wants_no_more() {
        let last = classify(200, &[("webhook-delivery", "disable")]);
        assert_eq!((last.verdict, last.disable), (Verdict::Delivered, true));
        let odd = classify(200, &[("webhook-delivery", "abort-message")]);
        assert_eq!((odd.verdict, odd.disable), (Verdict::Delivered, false));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait(429, "120"), Some(120));
        assert_eq!(wait(503, " 7 "), Some(7));
        assert_eq!(wait(503, "Sat, 31 Jan 2026 12:01:30 GMT"), Some(90));
        assert_eq!(wait(503, "Sat, 31 Jan 2026 11:00:00 GMT"), Some(0));
        assert_eq!(wait(503, "Saturday, 31-Jan-26 12:00:05 GMT"), Some(5));
    }

    #[test]
    fn retry_after_is_capped_at_a_day() {
        assert_eq!(wait(429, "86401"), Some(86_400));
        assert_eq!(wait(429, "99999999999999999999999999"), Some(86_400));
        assert_eq!(wait(503, "Sat, 31 Jan 2099 12:00:00 GMT"), Some(86_400));
    }

    #[test]
    fn nonsense_in_retry_after_and_other_statuses_are_ignored() {
        for nonsense in ["", "soon", "-5", "1.5", "+3", "2026-01-31T12:00:00Z"] {
            assert_eq!(wait(503, nonsense), None, "{nonsense}");
        }
        assert_eq!(wait(500, "120"), None);
        assert_eq!(wait(404, "120"), None);
    }
}

//! How an attempt is shown.

use serde::Serialize;

use pointsman_domain::{
    attempt::{AttemptOutcome, AttemptResult, DeliveryKind},
    timestamp::Timestamp,
};
use pointsman_store::attempts::Attempt;

/// One attempt to deliver one event to one extension.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct AttemptDto {
    /// From 1 within its delivery.
    number: i32,
    /// The handler of an in-process extension.
    #[serde(skip_serializing_if = "String::is_empty")]
    handler: String,
    kind: DeliveryKind,
    attempted_at: Timestamp,
    #[serde(flatten)]
    end: AttemptEndDto,
}

/// How it ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct AttemptEndDto {
    outcome: AttemptOutcome,
    http_status: Option<i32>,
    duration_ms: i64,
    error: Option<String>,
    /// At most the first KiB of the answer.
    response: Option<String>,
}

impl From<Attempt> for AttemptDto {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            handler: attempt.handler,
            kind: attempt.kind,
            attempted_at: attempt.attempted_at,
            end: AttemptEndDto {
                outcome: attempt.outcome,
                http_status: attempt.http_status,
                duration_ms: attempt.duration_ms,
                error: attempt.error,
                response: attempt.response,
            },
        }
    }
}

impl From<AttemptResult> for AttemptEndDto {
    fn from(result: AttemptResult) -> Self {
        Self {
            outcome: result.outcome,
            http_status: result.http_status.map(i32::from),
            duration_ms: i64::try_from(result.duration.as_millis()).unwrap_or(i64::MAX),
            error: result.error,
            response: result.response,
        }
    }
}

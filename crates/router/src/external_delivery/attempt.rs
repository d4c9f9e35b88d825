//! One attempt whose panics are caught.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use pointsman_domain::attempt::{AttemptOutcome, AttemptResult, Verdict};

/// The result of the attempt; an attempt that panics has failed.
pub(super) async fn caught(attempt: impl Future<Output = AttemptResult>) -> AttemptResult {
    AssertUnwindSafe(attempt)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| failed(AttemptOutcome::Panic, "the attempt panicked".to_owned()))
}

pub(super) fn failed(outcome: AttemptOutcome, error: String) -> AttemptResult {
    AttemptResult {
        outcome,
        verdict: Verdict::Retry { retry_after: None },
        http_status: None,
        duration: Duration::ZERO,
        error: Some(error),
        response: None,
        disable: false,
        retry_schedule: None,
    }
}

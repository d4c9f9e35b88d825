//! One attempt, which cannot panic.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;

use pointsman_clock::Clock;
use pointsman_domain::{
    attempt::{AttemptOutcome, AttemptResult, Verdict},
    event::PlatformEvent,
};
use pointsman_http_delivery::{DeliveryTarget, TransportClient};

/// One attempt; a panic in it is a failed attempt.
pub(super) async fn attempt(
    client: &dyn TransportClient,
    target: &Result<DeliveryTarget, String>,
    event: &PlatformEvent,
    clock: Clock,
) -> AttemptResult {
    let target = match target {
        Ok(target) => target,
        Err(reason) => return failed(AttemptOutcome::Misconfigured, reason.clone()),
    };
    let attempt = AssertUnwindSafe(client.attempt(target, event, clock)).catch_unwind();
    attempt
        .await
        .unwrap_or_else(|_| failed(AttemptOutcome::Panic, "the attempt panicked".to_owned()))
}

fn failed(outcome: AttemptOutcome, error: String) -> AttemptResult {
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

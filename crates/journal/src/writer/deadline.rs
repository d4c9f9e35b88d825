//! A time until which something waits, as a part of `select!`.

use std::{future::pending, pin::Pin, time::Instant};

use tokio::time::{Sleep, sleep};

/// A deadline that may be none, or have passed.
pub(super) struct Deadline {
    until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// `now` is the present.
    pub(super) fn new(until: Option<Instant>, now: Instant) -> Self {
        let sleep = until.map(|until| Box::pin(sleep(until.saturating_duration_since(now))));
        Self { until, sleep }
    }

    /// The time, until it has passed.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Waits until it passes. Never returns where there is none, or once it has passed. Cancelling it loses nothing.
    pub(super) async fn pass(&mut self) {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().await,
            None => pending().await,
        }
        self.end();
    }

    /// Makes it pass now.
    pub(super) fn end(&mut self) {
        self.until = None;
        self.sleep = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use pointsman_clock::Clock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_passes_once() {
        let now = Clock.instant();
        let until = now + Duration::from_secs(3);
        let mut deadline = Deadline::new(Some(until), now);
        assert!(deadline.pass().now_or_never().is_none());
        assert_eq!(deadline.until(), Some(until), "it is still to come");
        deadline.pass().await;
        assert_eq!(deadline.until(), None);
        assert!(deadline.pass().now_or_never().is_none(), "not a second time");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_ended_does_not_pass_any_more() {
        let now = Clock.instant();
        let mut deadline = Deadline::new(Some(now), now);
        deadline.end();
        assert!(deadline.until().is_none() && deadline.pass().now_or_never().is_none());
    }
}

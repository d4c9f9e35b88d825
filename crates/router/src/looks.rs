//! Whether the waker gets to the end of what is due.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::lock::locked;

/// The looks of the waker. They outlive a supervisor that dies.
#[derive(Debug)]
pub(crate) struct Looks {
    unended: Mutex<Option<Unended>>,
    /// A look that has not ended for so long, tries that failed included, is told to operators.
    patience: Duration,
}

/// A look that has begun and has not ended.
#[derive(Debug)]
struct Unended {
    since: Instant,
    /// Why the last try has failed.
    failure: Option<String>,
    is_logged: bool,
}

impl Looks {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            unended: Mutex::default(),
            patience,
        }
    }

    /// A look begins, or is tried again.
    pub(crate) fn begin(&self, now: Instant) {
        locked(&self.unended).get_or_insert(Unended {
            since: now,
            failure: None,
            is_logged: false,
        });
    }

    /// The look goes on.
    pub(crate) fn goes_on(&self, now: Instant) {
        self.log_once(now);
    }

    /// The look has failed and will be tried again.
    pub(crate) fn failed(&self, why: &str, now: Instant) {
        if let Some(unended) = &mut *locked(&self.unended) {
            unended.failure = Some(why.to_owned());
        }
        self.log_once(now);
    }

    /// The look has found everything that is due.
    pub(crate) fn ended(&self, now: Instant) {
        if let Some(unended) = locked(&self.unended).take()
            && unended.is_logged
        {
            let seconds = now.saturating_duration_since(unended.since).as_secs();
            log::info!(seconds; "the waker has looked through everything that is due");
        }
    }

    /// What an operator is told where the waker has not come to an end for too long.
    pub(crate) fn trouble(&self, now: Instant) -> Option<String> {
        let unended = locked(&self.unended);
        unended.as_ref()?.trouble(now, self.patience)
    }

    fn log_once(&self, now: Instant) {
        if let Some(unended) = &mut *locked(&self.unended)
            && let Some(trouble) = unended.trouble(now, self.patience)
            && !std::mem::replace(&mut unended.is_logged, true)
        {
            log::error!("{trouble}");
        }
    }
}

impl Unended {
    fn trouble(&self, now: Instant, patience: Duration) -> Option<String> {
        let lasts = now.saturating_duration_since(self.since);
        if lasts < patience {
            return None;
        }
        let why = self.failure.as_deref().unwrap_or("it is slow");
        Some(format!(
            "the waker has not found out for {} s in which workspaces deliveries are due, so that some may wait: {why}",
            lasts.as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use pointsman_clock::Clock;

    use super::*;

    #[test]
    fn a_look_that_fails_again_and_again_is_told_after_a_minute_and_until_one_has_ended() {
        let (looks, start) = (Looks::new(Duration::from_secs(60)), Clock.instant());
        let after = |seconds| start + Duration::from_secs(seconds);
        for seconds in (0..60).step_by(5) {
            looks.begin(after(seconds));
            looks.failed("no such table", after(seconds));
            assert_eq!(looks.trouble(after(seconds)), None);
        }
        let trouble = looks.trouble(after(60)).unwrap();
        assert!(trouble.ends_with("some may wait: no such table"), "{trouble}");
        looks.ended(after(61));
        assert_eq!(looks.trouble(after(200)), None, "it sleeps");
        looks.begin(after(200));
        assert_eq!(looks.trouble(after(259)), None);
        let trouble = looks.trouble(after(260)).unwrap();
        assert!(trouble.ends_with("it is slow"), "{trouble}");
    }
}

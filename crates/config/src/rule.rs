//! What is allowed for a key: once in words, once as a check.

use std::time::Duration;

/// The rule of one key in the section `S`.
pub(super) struct Rule<S> {
    /// `section.key`.
    pub(super) key: &'static str,
    /// Completes the sentence "must be …". It is shown for a value of the wrong type too, so it names the
    /// type as well as the range.
    pub(super) allowed: &'static str,
    /// Whether a value of the right type is also in range.
    pub(super) holds: fn(&S) -> bool,
}

/// The key and the words of the first rule that `section` breaks.
pub(super) fn first_broken<S>(rules: &[Rule<S>], section: &S) -> Option<(&'static str, &'static str)> {
    rules
        .iter()
        .find(|rule| !(rule.holds)(section))
        .map(|rule| (rule.key, rule.allowed))
}

/// More threads than any machine has cores are a typing mistake.
pub(super) const MAX_THREADS: usize = 1024;

/// From a millisecond, the finest time that is stored, to `longest`.
pub(super) fn is_some_time_up_to(duration: Duration, longest: Duration) -> bool {
    (Duration::from_millis(1)..=longest).contains(&duration)
}

pub(super) const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 60 * 60)
}

pub(super) const fn days(days: u64) -> Duration {
    hours(days * 24)
}

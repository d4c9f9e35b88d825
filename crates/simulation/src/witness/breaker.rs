//! Checks of the breaker: it holds deliveries only while the service fails.

use std::time::Duration;

use super::Witness;
use crate::tables::effects::Effects;
use pointsman_domain::{attempt::DeadLetterReason, id::InstallationId};
use pointsman_simulated_clock::Clock;

/// A service is probed again within this, however short the schedules of the worlds: the longest pause, an attempt that
/// hangs, and the time that the storage may take for the letter.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(120);

impl Witness {
    /// An attempt has ended, with a sign of life or without.
    pub(crate) fn attempt_ended(&mut self, id: InstallationId, lives: bool) {
        let signs = &mut self.lanes.entry(id).or_default().signs;
        if lives {
            signs.failures = 0;
            return;
        }
        signs.failures += 1;
        signs.most_failures = signs.most_failures.max(signs.failures);
        signs.last_failure = Some(Clock.now());
    }

    /// Deliveries are given up as `BREAKER_OPEN` only after enough failures to open the breaker, and only while probes
    /// fail.
    pub(super) fn check_breaker(&mut self, effects: &Effects) {
        let held = effects.letters_as(DeadLetterReason::BreakerOpen);
        for (id, event) in held.collect::<Vec<_>>() {
            let signs = &self.lanes.entry(id).or_default().signs;
            let (failures, last) = (signs.most_failures, signs.last_failure);
            if failures < self.breaker_failures {
                self.violated(format!(
                    "{event} is BREAKER_OPEN for {id} after {failures} failures"
                ));
            }
            if last.is_none_or(|last| Clock.now() > last + LOOKED_AT_WITHIN) {
                self.violated(format!(
                    "{event} is BREAKER_OPEN for {id} that was not looked at since {last:?}"
                ));
            }
        }
    }
}

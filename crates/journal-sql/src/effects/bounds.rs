//! What bounds the work of an effect.

use std::time::Duration;

use pointsman_clock::Clock;
use pointsman_journal::effects::{SLOW, StagedEffect};

use super::threads::EffectThread;
use crate::work_guard::WorkGuard;

/// What bounds the work of an effect.
pub(crate) struct Bounds<'a> {
    /// The longest that any effect may take.
    pub(crate) limit: Duration,
    pub(crate) guard: &'a WorkGuard,
    pub(crate) thread: &'a EffectThread,
    pub(crate) clock: Clock,
}

impl Bounds<'_> {
    /// How long the work may take where others wait for it, too. Work that ends no delivery is nobody's, so that
    /// it cannot be told from others the next time.
    pub(super) fn patience(&self, effect: &StagedEffect) -> Duration {
        match effect.is_slow || effect.command.settles.is_none() {
            true => self.limit,
            false => self.limit.min(SLOW),
        }
    }
}

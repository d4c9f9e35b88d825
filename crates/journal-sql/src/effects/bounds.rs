//! The time limits of the work of an effect.

use std::time::Duration;

use pointsman_clock::Clock;
use pointsman_journal::effects::{SLOW, StagedEffect};

use super::threads::EffectThread;
use crate::work_guard::WorkGuard;

/// How long a statement of the journal may take, as everywhere on its connection.
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_secs(6);

/// The time limits of the work of an effect, and what enforces them.
pub(crate) struct Bounds<'a> {
    /// The longest that any effect may take.
    pub(crate) limit: Duration,
    pub(crate) guard: &'a WorkGuard,
    pub(crate) thread: &'a EffectThread,
    pub(crate) clock: Clock,
}

impl Bounds<'_> {
    /// How long the work may take in a transaction that it shares: [`SLOW`] at most, unless the installation is known
    /// to be slow. Work that ends no delivery gets the whole limit, because it belongs to no installation that could be
    /// remembered as slow. An effect without work is written as a batch is.
    pub(super) fn patience(&self, effect: &StagedEffect) -> Duration {
        if effect.command.work.is_none() {
            return STATEMENT_LIMIT;
        }
        match effect.is_slow || effect.command.settles.is_none() {
            true => self.limit,
            false => self.limit.min(SLOW),
        }
    }
}

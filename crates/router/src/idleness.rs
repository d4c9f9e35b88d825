//! Since when an actor has had nothing to do.

use std::time::Duration;

use pointsman_domain::timestamp::Timestamp;

/// Since when nothing has happened. Looked at now and then, so that what happens costs next to nothing.
pub(crate) struct Idleness {
    /// Something has happened since the last look.
    touched: bool,
    since: Timestamp,
}

impl Idleness {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self {
            touched: false,
            since: now,
        }
    }

    /// Something happens.
    pub(crate) const fn touch(&mut self) {
        self.touched = true;
    }

    /// Looks: what has happened since the last look has happened just now. Returns when there will have been nothing to
    /// do for `patience`, if nothing happens until then.
    pub(crate) fn look(&mut self, now: Timestamp, patience: Duration) -> Timestamp {
        if std::mem::take(&mut self.touched) {
            self.since = now;
        }
        self.since + patience
    }
}

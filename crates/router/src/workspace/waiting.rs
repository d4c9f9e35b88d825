//! Lanes that wait for news of the log, and what they are given of it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use pointsman_domain::{event::PlatformEvent, id::InstallationId, seq::Seq};

/// Between attempts to read the installations while there is no database.
pub(super) const LOAD_PAUSE: Duration = Duration::from_millis(500);

/// Whom news of the log concerns.
pub(super) enum Concerned {
    All,
    /// Of what came after `before`, these and nobody else.
    Since {
        before: Seq,
        installations: HashSet<InstallationId>,
    },
}

/// Events of the first page from the database, and of a page whose events are small.
pub(super) const FIRST_PAGE_EVENTS: usize = 32;
const PAGE_EVENTS: usize = 256;
/// What a page may weigh, judged by the page before.
const PAGE_BYTES: usize = 1024 * 1024;

/// A lane that has read everything.
pub(super) struct Waiting {
    /// Which of its installation's actors asked.
    pub(super) incarnation: u64,
    /// What the lane asked after.
    pub(super) asked_after: Seq,
    /// How far this actor has looked on its behalf and found nothing due.
    pub(super) looked_through: Seq,
    pub(super) limit: usize,
}

impl Waiting {
    pub(super) const fn looked_through(&self) -> Seq {
        self.looked_through
    }

    pub(super) fn has_seen(&self, head: Seq) -> bool {
        self.looked_through >= head
    }

    pub(super) fn has_passed(&self) -> bool {
        self.looked_through > self.asked_after
    }

    /// How far nothing is due to a lane that is done with everything up to `done`.
    pub(super) fn looked_through_from(&self, done: Seq) -> Seq {
        if self.asked_after <= done {
            self.looked_through.max(done)
        } else {
            done
        }
    }
}

/// How many events the next page takes, so that it weighs about as much as a page may.
pub(super) fn next_page(events: &[Arc<PlatformEvent>]) -> usize {
    let bytes: usize = events.iter().map(|event| event.payload.len() + 256).sum();
    match bytes.checked_div(events.len()) {
        Some(each) if each > 0 => (PAGE_BYTES / each).clamp(4, PAGE_EVENTS),
        _ => PAGE_EVENTS,
    }
}

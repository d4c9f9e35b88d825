//! Corrupt rows of the database: counted, and logged once each.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use uuid::Uuid;

use pointsman_domain::id::WorkspaceId;

/// Rows remembered as logged. When there are more, all are forgotten, and may be logged once more.
const MOST_REMEMBERED: usize = 10_000;

/// The corrupt rows that were found since the start. Shared by all readers of the database.
#[derive(Debug, Default)]
pub struct CorruptRows {
    found: AtomicU64,
    seen: Mutex<HashSet<(&'static str, Uuid)>>,
}

impl CorruptRows {
    /// Logs and counts the row of `table` that `id` names, unless that was done before.
    pub fn note(&self, table: &'static str, workspace: WorkspaceId, id: Uuid, what: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST_REMEMBERED {
            seen.clear();
        }
        if seen.insert((table, id)) {
            self.found.fetch_add(1, Ordering::Relaxed);
            log::error!(table, workspace:%, id:%; "a corrupt row is set aside: {what}");
        }
    }

    /// How many rows were noted.
    pub fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_clock::Clock;

    #[test]
    fn a_row_counts_once_however_often_it_is_read() {
        let (rows, workspace) = (CorruptRows::default(), WorkspaceId::new(Clock.new_uuid()));
        let (one, other) = (Clock.new_uuid(), Clock.new_uuid());
        rows.note("platform_event", workspace, one, "broken");
        rows.note("platform_event", workspace, one, "broken");
        rows.note("ext_delivery_retry", workspace, one, "broken");
        rows.note("platform_event", workspace, other, "broken");
        assert_eq!(rows.found(), 3);
    }
}

//! The notices of the journal that a WorkspaceActor has not taken yet.

use std::collections::BTreeMap;

use crate::ring::Ring;
use pointsman_domain::{id::InstallationId, installation::InstallationView, seq::Seq, timestamp::Timestamp};
use pointsman_journal::Notice;

/// Notices are merged, so that they are bounded however long the actor is busy. The events are bounded as those of a
/// [`Ring`] are: the oldest are dropped, and read from the database instead. Everything else is bounded by the number
/// of installations.
///
/// The actor has to take the views before the events. A view says of each span from which position to which it holds,
/// so that a newer view fits older events.
#[derive(Debug, Default)]
pub(crate) struct PendingNotices {
    pub(crate) head: Seq,
    pub(crate) recent: Ring,
    /// The latest view of each installation.
    pub(crate) views: BTreeMap<InstallationId, InstallationView>,
    /// The earliest retry that was added to each installation.
    pub(crate) retries: BTreeMap<InstallationId, Timestamp>,
    /// Changes may have been committed without a notice.
    pub(crate) reload: bool,
}

impl PendingNotices {
    pub(super) fn take_in(&mut self, notice: Notice) {
        match notice {
            Notice::Committed { head, events, .. } => {
                self.head = self.head.max(head);
                self.recent.push(events);
            }
            Notice::InstallationChanged(view) => {
                let is_older = self
                    .views
                    .get(&view.id())
                    .is_some_and(|known| view.installation.revision < known.installation.revision);
                if !is_older {
                    self.views.insert(view.id(), *view);
                }
            }
            Notice::RetriesAdded {
                installation_id, at, ..
            } => {
                let earliest = self.retries.entry(installation_id).or_insert(at);
                *earliest = at.min(*earliest);
            }
            Notice::Reconnected => self.reload = true,
            // The first concerns the supervisor alone, the others are messages of their own.
            Notice::DueBy(_) | Notice::WorkspaceDeleted(_) | Notice::EventErased(_) => {}
        }
    }
}

//! What the journal said and a WorkspaceActor has not heard yet.

use std::collections::BTreeMap;

use crate::ring::Ring;
use pointsman_domain::{id::InstallationId, installation::InstallationView, seq::Seq, timestamp::Timestamp};
use pointsman_journal::Notice;

/// Bounded however long the actor is busy: the events by the bounds of a [`Ring`], of which the oldest are
/// dropped and read from the database instead, all else by the number of installations.
///
/// An actor that takes the views before the events does not mind that several notices have become one: a
/// view says of each span from which place to which it holds, so that a newer one fits older events.
#[derive(Debug, Default)]
pub(crate) struct PendingNotices {
    pub(crate) head: Seq,
    pub(crate) recent: Ring,
    /// The latest of each installation.
    pub(crate) views: BTreeMap<InstallationId, InstallationView>,
    /// The earliest retry that was added to each installation.
    pub(crate) retries: BTreeMap<InstallationId, Timestamp>,
    /// Changes may have been committed without telling.
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
        }
    }
}

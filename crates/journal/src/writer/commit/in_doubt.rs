//! The batch whose outcome is unknown, because its connection was lost while it was written.

use std::{collections::HashMap, time::Instant};

use tokio::sync::oneshot;

use crate::{batch::Batch, errors::StorageUnavailable, writer::bounds::UNKNOWN_PATIENCE};
use pointsman_domain::{
    id::{EventId, WorkspaceId},
    seq::Seq,
};

/// What the log says of the batch.
pub(super) enum Resolved {
    /// It was committed: the batch with its events at the places where they were found, and the heads after it.
    Recorded(Batch, HashMap<WorkspaceId, Seq>),
    /// It was not committed. Settlements can be written twice without harm, so that they only wait for the next batch.
    NotRecorded { settlements: Batch, appends: Appends },
}

/// The appends of a batch that was not committed.
pub(super) enum Appends {
    /// Their publishers still wait: they are written a second time.
    WriteAgain(Batch),
    /// They have been written twice, or their publishers have been refused meanwhile.
    Refuse(Batch),
}

pub(super) struct BatchInDoubt(Batch);

impl BatchInDoubt {
    pub(super) const fn new(batch: Batch) -> Self {
        Self(batch)
    }

    pub(super) fn event_ids(&self) -> Vec<EventId> {
        self.0.event_ids()
    }

    /// Until when its publishers wait for their answer, where the recovery has begun at `now`.
    pub(super) fn waits_until(&self, now: Instant) -> Instant {
        self.0.again_until.unwrap_or(now + UNKNOWN_PATIENCE)
    }

    /// Refuses its publishers, which have waited long enough. The batch itself stays until it is resolved, and its
    /// keys stay in use.
    pub(super) fn refuse_publishers(&mut self) {
        for staged in &mut self.0.appends {
            let (nobody, _) = oneshot::channel();
            let reply = std::mem::replace(&mut staged.append.reply, nobody);
            // The publisher may have gone.
            let _ = reply.send(Err(StorageUnavailable.into()));
        }
    }

    /// `places` are those of its events that are in the log. Its publishers wait until `waits_until`; none where they
    /// have been refused.
    pub(super) fn resolve(self, places: &HashMap<EventId, Seq>, waits_until: Option<Instant>) -> Resolved {
        let mut batch = self.0;
        let ids = batch.event_ids();
        if !ids.is_empty() && ids.iter().all(|id| places.contains_key(id)) {
            let heads = batch.heads_of(places);
            return Resolved::Recorded(batch.with_events(places), heads);
        }
        let settlements = Batch {
            settlements: std::mem::take(&mut batch.settlements),
            ..Batch::default()
        };
        let is_first_write = batch.again_until.is_none();
        let appends = if waits_until.is_some() && is_first_write && !batch.appends.is_empty() {
            batch.again_until = waits_until;
            Appends::WriteAgain(batch)
        } else {
            Appends::Refuse(batch)
        };
        Resolved::NotRecorded { settlements, appends }
    }
}

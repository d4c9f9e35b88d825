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
    /// It was committed: the batch with its events at the positions where they were found, and the heads after it.
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

    /// `positions` are those of its events that are in the log. Its publishers wait until `waits_until`; none where
    /// they have been refused.
    pub(super) fn resolve(self, positions: &HashMap<EventId, Seq>, waits_until: Option<Instant>) -> Resolved {
        let mut batch = self.0;
        let ids = batch.event_ids();
        if !ids.is_empty() && ids.iter().all(|id| positions.contains_key(id)) {
            let heads = batch.heads_of(positions);
            return Resolved::Recorded(batch.with_events(positions), heads);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::{
        batch::StagedAppend,
        command::{Append, SettleCommand},
        errors::AppendError,
    };
    use pointsman_clock::Clock;
    use pointsman_domain::{
        event::NewEvent, event_key::EventKey, id::InstallationId, idempotency::Recorded, timestamp::Timestamp,
    };

    type Answer = oneshot::Receiver<Result<Recorded, AppendError>>;

    fn event(number: u128) -> EventId {
        EventId::new(Uuid::from_u128(number))
    }

    fn append(number: u128) -> (StagedAppend, Answer) {
        let (reply, answer) = oneshot::channel();
        let new = NewEvent {
            id: event(number),
            event_key: EventKey::parse("a.b").unwrap(),
            schema_version: None,
            actor: None,
            payload: "{}".into(),
            occurred_at: Timestamp::from_millis(0),
            traceparent: None,
            cause: None,
        };
        let append = Append {
            workspace_id: WorkspaceId::new(Uuid::nil()),
            events: vec![new],
            idempotency: None,
            reply,
            derived: false,
            permit: None,
            latch: None,
        };
        let events = Vec::new();
        (StagedAppend { append, events }, answer)
    }

    fn settlement() -> SettleCommand {
        SettleCommand {
            workspace_id: WorkspaceId::new(Uuid::nil()),
            installation_id: InstallationId::new(Uuid::nil()),
            generation: 1,
            settled: Seq::new(1),
            park: Vec::new(),
            remove: Vec::new(),
            letters: Vec::new(),
            attempts: Vec::new(),
            reply: oneshot::channel().0,
        }
    }

    fn batch(appends: &[u128], again_until: Option<Instant>) -> BatchInDoubt {
        BatchInDoubt::new(Batch {
            appends: appends.iter().map(|number| append(*number).0).collect(),
            settlements: vec![settlement()],
            again_until,
            ..Batch::default()
        })
    }

    fn positions(numbers: &[u32]) -> HashMap<EventId, Seq> {
        let position = |number: &u32| (event((*number).into()), Seq::new((*number).into()));
        numbers.iter().map(position).collect()
    }

    #[test]
    fn it_is_recorded_where_all_of_its_events_are_in_the_log() {
        let Resolved::Recorded(batch, heads) = batch(&[3, 4], None).resolve(&positions(&[3, 4]), None) else {
            panic!("it is recorded");
        };
        assert_eq!(batch.appends[1].events[0].seq, Seq::new(4));
        assert_eq!(batch.settlements.len(), 1);
        assert_eq!(heads.into_values().collect::<Vec<_>>(), [Seq::new(4)]);
    }

    #[test]
    fn what_is_not_recorded_is_written_again_once_and_only_while_publishers_wait() {
        let until = Clock.instant() + Duration::from_secs(3);
        for (before, waits_until, is_again) in [
            (None, Some(until), true),
            (None, None, false),
            (Some(until), Some(until), false),
        ] {
            let resolved = batch(&[3, 4], before).resolve(&positions(&[3]), waits_until);
            let Resolved::NotRecorded { settlements, appends } = resolved else {
                panic!("it is not recorded");
            };
            assert_eq!(settlements.len(), 1);
            let (appends, again_until) = match appends {
                Appends::WriteAgain(batch) => (batch.len(), batch.again_until),
                Appends::Refuse(batch) => (batch.len(), None),
            };
            assert_eq!((appends, again_until), (2, waits_until.filter(|_| is_again)));
        }
    }

    #[test]
    fn settlements_alone_are_written_again_in_any_case() {
        let resolved = batch(&[], None).resolve(&positions(&[]), Some(Clock.instant()));
        let Resolved::NotRecorded { settlements, appends } = resolved else {
            panic!("without events it is unknown");
        };
        assert_eq!(settlements.len(), 1);
        assert!(matches!(appends, Appends::Refuse(batch) if batch.is_empty()));
    }

    #[test]
    fn publishers_are_refused_before_it_is_resolved() {
        let (staged, mut answer) = append(3);
        let mut batch = BatchInDoubt::new(Batch {
            appends: vec![staged],
            ..Batch::default()
        });
        batch.refuse_publishers();
        assert_eq!(
            answer.try_recv(),
            Ok(Err(AppendError::Storage(StorageUnavailable)))
        );
        assert_eq!(batch.event_ids(), [event(3)], "it is still to be resolved");
    }
}

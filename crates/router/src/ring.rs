//! The recent events of a workspace, shared by its lanes.

use std::{collections::VecDeque, sync::Arc};

use pointsman_domain::{event::PlatformEvent, seq::Seq};

/// Bounds of one workspace's ring.
const MAX_EVENTS: usize = 4096;
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// What an event weighs beside its payload.
const OVERHEAD_BYTES: usize = 512;

/// A contiguous stretch of the log that ends at the head.
#[derive(Debug, Default)]
pub(super) struct Ring {
    events: VecDeque<Arc<PlatformEvent>>,
    bytes: usize,
}

impl Ring {
    /// Adds the next events of the log. Where they do not follow the last event, the ring starts anew.
    pub(super) fn push(&mut self, events: impl IntoIterator<Item = Arc<PlatformEvent>>) {
        for event in events {
            if let Some(last) = self.events.back() {
                if event.seq <= last.seq {
                    continue;
                }
                if event.seq != last.seq.next() {
                    self.events.clear();
                    self.bytes = 0;
                }
            }
            self.bytes += weight(&event);
            self.events.push_back(event);
            while self.events.len() > MAX_EVENTS || (self.bytes > MAX_BYTES && self.events.len() > 1) {
                if let Some(oldest) = self.events.pop_front() {
                    self.bytes -= weight(&oldest);
                }
            }
        }
    }

    /// Puts what is left of an event in its place, where the ring holds it.
    pub(super) fn erase(&mut self, left: &Arc<PlatformEvent>) {
        if let Some(event) = self.events.iter_mut().find(|event| event.id == left.id) {
            self.bytes = self.bytes - weight(event) + weight(left);
            *event = Arc::clone(left);
        }
    }

    /// Whether all events after `seq` up to `head` are here.
    pub(super) fn covers(&self, seq: Seq, head: Seq) -> bool {
        match (self.events.front(), self.events.back()) {
            (Some(first), Some(last)) => first.seq <= seq.next() && last.seq >= head,
            _ => seq >= head,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<PlatformEvent>> {
        self.events.iter()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The event at this position, where the ring holds it.
    pub(super) fn get(&self, seq: Seq) -> Option<&Arc<PlatformEvent>> {
        let first = self.events.front()?.seq;
        let index = usize::try_from(seq.get() - first.get()).ok()?;
        self.events.get(index)
    }

    /// The events after `seq`; `None` where the ring does not reach back that far.
    pub(super) fn after(&self, seq: Seq) -> Option<impl Iterator<Item = &Arc<PlatformEvent>>> {
        let first = self.events.front()?.seq;
        if seq.next() < first {
            return None;
        }
        let skip = usize::try_from(seq.next().get() - first.get()).unwrap_or(usize::MAX);
        Some(self.events.iter().skip(skip))
    }
}

impl IntoIterator for Ring {
    type Item = Arc<PlatformEvent>;
    type IntoIter = std::collections::vec_deque::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.into_iter()
    }
}

fn weight(event: &PlatformEvent) -> usize {
    event.payload.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_domain::{
        event::NewEvent,
        event_key::EventKey,
        id::{EventId, WorkspaceId},
        timestamp::Timestamp,
    };

    fn event(seq: i64, payload: usize) -> Arc<PlatformEvent> {
        let new = NewEvent {
            id: EventId::new(uuid::Uuid::from_u128(seq.unsigned_abs().into())),
            event_key: EventKey::parse("a.b").unwrap(),
            schema_version: None,
            actor: None,
            payload: "x".repeat(payload).into(),
            occurred_at: Timestamp::default(),
            traceparent: None,
            cause: None,
        };
        Arc::new(PlatformEvent::record(
            WorkspaceId::new(uuid::Uuid::nil()),
            Seq::new(seq),
            new,
        ))
    }

    fn after(ring: &Ring, seq: i64) -> Option<Vec<i64>> {
        ring.after(Seq::new(seq))
            .map(|events| events.map(|event| event.seq.get()).collect())
    }

    #[test]
    fn it_serves_what_it_reaches_back_to() {
        let mut ring = Ring::default();
        assert_eq!(after(&ring, 0), None);
        ring.push([event(5, 1), event(6, 1), event(7, 1)]);
        assert_eq!(after(&ring, 3), None);
        assert_eq!(after(&ring, 4), Some(vec![5, 6, 7]));
        assert_eq!(after(&ring, 7), Some(vec![]));
    }

    #[test]
    fn a_gap_starts_it_anew_and_a_repeat_changes_nothing() {
        let mut ring = Ring::default();
        ring.push([event(1, 1), event(2, 1), event(2, 1), event(1, 1)]);
        assert_eq!(after(&ring, 0), Some(vec![1, 2]));
        ring.push([event(9, 1)]);
        assert_eq!(after(&ring, 2), None);
        assert_eq!(after(&ring, 8), Some(vec![9]));
    }

    #[test]
    fn it_is_bounded_by_count_and_by_bytes() {
        let mut ring = Ring::default();
        let many: Vec<_> = (1..=10_000).map(|seq| event(seq, 1)).collect();
        ring.push(many);
        assert_eq!(ring.events.len(), MAX_EVENTS);
        ring.push([event(10_001, MAX_BYTES)]);
        assert_eq!(ring.events.len(), 1);
    }
}

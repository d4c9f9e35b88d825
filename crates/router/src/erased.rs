//! The events whose payloads were erased of late.
//!
//! Lanes and WorkspaceActors are told of each. What was read from the database before, and reaches them after that, is
//! recognized here. A read takes no longer than 5 s.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::lock::locked;
use pointsman_domain::{event::PlatformEvent, id::EventId};

/// For so long an event is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

/// See the [module](self). Bounded by how many events can be erased in [`REMEMBERED`], each in a transaction.
#[derive(Debug, Default)]
pub(super) struct ErasedEvents {
    /// Whether there are any, so that others need no lock.
    any: AtomicBool,
    events: Mutex<HashMap<EventId, (Arc<PlatformEvent>, Instant)>>,
}

impl ErasedEvents {
    /// `left` is what is left of an event that was erased.
    pub(super) fn add(&self, left: Arc<PlatformEvent>, now: Instant) {
        let mut events = locked(&self.events);
        events.retain(|_, (_, at)| now.saturating_duration_since(*at) < REMEMBERED);
        events.insert(left.id, (left, now));
        self.any.store(true, Ordering::SeqCst);
    }

    /// What is left of the event, where it was erased of late.
    pub(super) fn find(&self, event: EventId) -> Option<Arc<PlatformEvent>> {
        locked(&self.events).get(&event).map(|(left, _)| Arc::clone(left))
    }

    /// What is left of the event: the event itself, unless it was erased of late.
    pub(super) fn left_of(&self, event: Arc<PlatformEvent>) -> Arc<PlatformEvent> {
        if !self.any.load(Ordering::SeqCst) {
            return event;
        }
        let left = locked(&self.events)
            .get(&event.id)
            .map(|(left, _)| Arc::clone(left));
        left.unwrap_or(event)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use pointsman_clock::Clock;
    use pointsman_domain::{
        event::NewEvent, event_key::EventKey, id::WorkspaceId, seq::Seq, timestamp::Timestamp,
    };

    fn event(number: u128) -> Arc<PlatformEvent> {
        let new = NewEvent {
            id: EventId::new(Uuid::from_u128(number)),
            event_key: EventKey::parse("crm.deal").unwrap(),
            schema_version: None,
            actor: None,
            payload: "{}".into(),
            occurred_at: Timestamp::default(),
            traceparent: None,
            cause: None,
        };
        Arc::new(PlatformEvent::record(
            WorkspaceId::new(Uuid::nil()),
            Seq::new(1),
            new,
        ))
    }

    #[test]
    fn an_event_is_recognized_for_as_long_as_a_read_takes() {
        let (erased, now) = (ErasedEvents::default(), Clock.instant());
        assert!(!erased.left_of(event(1)).is_erased());
        erased.add(Arc::new(event(1).erased()), now);
        assert!(erased.left_of(event(1)).is_erased());
        assert!(!erased.left_of(event(2)).is_erased());
        erased.add(Arc::new(event(2).erased()), now + REMEMBERED);
        assert!(!erased.left_of(event(1)).is_erased(), "every read has ended");
        assert!(erased.left_of(event(2)).is_erased());
    }
}

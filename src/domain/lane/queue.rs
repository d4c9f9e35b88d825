//! Due events that were read and not started.

use std::{collections::VecDeque, sync::Arc};

use crate::domain::{event::PlatformEvent, timestamp::Timestamp};

/// Nothing more is read while the payloads of the queue are larger than this: 256 events of 256 KiB would be
/// 64 MiB for a single lane.
const MAX_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Queued {
    pub(super) event: Arc<PlatformEvent>,
    /// When it was published, or when it was read if the publisher's clock says that this was earlier.
    pub(super) waiting_since: Timestamp,
}

/// In the order of the log.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: VecDeque<Queued>,
    bytes: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn front(&self) -> Option<&Queued> {
        self.events.front()
    }

    /// Whether there are fewer events than this, and not too many bytes.
    pub(super) fn is_below(&self, events: usize) -> bool {
        self.events.len() < events && self.bytes <= MAX_BYTES
    }

    /// Adds the next event of the log, read at `now`.
    pub(super) fn push(&mut self, event: Arc<PlatformEvent>, now: Timestamp) {
        self.bytes += event.payload.len();
        self.events.push_back(Queued {
            waiting_since: event.occurred_at.min(now),
            event,
        });
    }

    pub(super) fn pop(&mut self) -> Option<Arc<PlatformEvent>> {
        let event = self.events.pop_front()?.event;
        self.bytes = self.bytes.saturating_sub(event.payload.len());
        Some(event)
    }
}

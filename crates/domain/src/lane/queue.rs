//! Deliveries of events that were read and not started.

use std::{collections::VecDeque, sync::Arc};

use super::Due;
use crate::{event::PlatformEvent, timestamp::Timestamp};

/// Nothing more is read while the payloads of the queue are larger than this: 256 events of 256 KiB would be
/// 64 MiB for a single lane.
const MAX_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Queued {
    pub(super) due: Due,
    /// When it was published, or when it was read if the publisher's clock says that this was earlier.
    pub(super) waiting_since: Timestamp,
}

/// In the order of the log.
#[derive(Debug, Default)]
pub(super) struct Queue {
    deliveries: VecDeque<Queued>,
    bytes: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.deliveries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    pub(super) fn front(&self) -> Option<&Queued> {
        self.deliveries.front()
    }

    /// Whether there are fewer than `deliveries`, with at most [`MAX_BYTES`] of payloads.
    pub(super) fn is_below(&self, deliveries: usize) -> bool {
        self.deliveries.len() < deliveries && self.bytes <= MAX_BYTES
    }

    /// Adds the next delivery in the order of the log, read at `now`.
    pub(super) fn push(&mut self, due: Due, now: Timestamp) {
        self.bytes += due.event.payload.len();
        self.deliveries.push_back(Queued {
            waiting_since: due.event.occurred_at.min(now),
            due,
        });
    }

    /// Puts the event in the place of its former copies.
    pub(super) fn erase(&mut self, event: &Arc<PlatformEvent>) {
        let of_event = |queued: &&mut Queued| queued.due.event.id == event.id;
        for queued in self.deliveries.iter_mut().filter(of_event) {
            self.bytes = self.bytes.saturating_sub(queued.due.event.payload.len()) + event.payload.len();
            queued.due.event = Arc::clone(event);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Due> {
        let due = self.deliveries.pop_front()?.due;
        self.bytes = self.bytes.saturating_sub(due.event.payload.len());
        Some(due)
    }
}

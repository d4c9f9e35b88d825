//! The end of a workspace's log: its head, its recent events, and how much of it the next page takes.

use std::sync::Arc;

use crate::ring::Ring;
use pointsman_domain::{
    event::PlatformEvent,
    seq::Seq,
    span::{Span, is_due},
};

/// Events of the first page from the database.
const FIRST_PAGE_EVENTS: usize = 32;
/// Events of a page at least and at most.
const FEWEST_EVENTS: usize = 4;
const MOST_EVENTS: usize = 256;
/// What a page may weigh, judged by the page before.
const PAGE_BYTES: usize = 1024 * 1024;
/// What an event weighs beside its payload.
const OVERHEAD_BYTES: usize = 256;

/// See the [module](self).
pub(super) struct LogTail {
    /// The highest position that is known to be durable.
    head: Seq,
    ring: Ring,
    /// Events of the next page from the database, learned from the weight of the last.
    page_events: usize,
}

/// A page of the log that is to be read, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageRange {
    pub(super) after: Seq,
    pub(super) through: Seq,
    /// Events at most.
    pub(super) limit: usize,
}

/// What is due to a lane in a stretch of the log.
#[derive(Debug)]
pub(super) struct DueEvents {
    /// How far the log was looked through.
    pub(super) through: Seq,
    pub(super) due: Vec<Arc<PlatformEvent>>,
}

impl Default for LogTail {
    fn default() -> Self {
        Self {
            head: Seq::ZERO,
            ring: Ring::default(),
            page_events: FIRST_PAGE_EVENTS,
        }
    }
}

impl LogTail {
    pub(super) const fn head(&self) -> Seq {
        self.head
    }

    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The log is durable up to `head`; returns how far it was known to be before.
    pub(super) fn advance(&mut self, head: Seq) -> Seq {
        let before = self.head;
        self.head = before.max(head);
        before
    }

    pub(super) fn push(&mut self, recent: Ring) {
        self.ring.push(recent);
    }

    /// See [`Ring::erase`].
    pub(super) fn erase(&mut self, left: &Arc<PlatformEvent>) {
        self.ring.erase(left);
    }

    /// Lets go of the recent events.
    pub(super) fn clear(&mut self) {
        self.ring = Ring::default();
    }

    /// At most `limit` recent events after `after` that are due by these spans; none where the ring does not reach back
    /// that far.
    pub(super) fn recent_due(&self, after: Seq, spans: &[Span], limit: usize) -> Option<DueEvents> {
        let recent = self.ring.after(after)?;
        Some(select_due(recent, spans, after, limit))
    }

    /// The page to read next for a lane that has come as far as `after`.
    pub(super) const fn page_after(&self, after: Seq) -> PageRange {
        PageRange {
            after,
            through: self.head,
            limit: self.page_events,
        }
    }

    /// At most `limit` events of a page that are due by these spans to a lane that has come as far as `after`.
    pub(super) fn page_due(
        &mut self,
        page: PageRange,
        events: &[Arc<PlatformEvent>],
        spans: &[Span],
        limit: usize,
    ) -> DueEvents {
        // An event that is in the ring as well is the same, but there it may have a publisher that waits.
        let events: Vec<Arc<PlatformEvent>> = events
            .iter()
            .map(|event| self.ring.get(event.seq).unwrap_or(event).clone())
            .collect();
        let mut selected = select_due(events.iter(), spans, page.after, limit);
        if events.len() < page.limit && selected.due.len() < limit {
            // The page ended because the log did: gaps left by retention end with it.
            selected.through = page.through;
        }
        self.page_events = next_page(&events);
        selected
    }
}

/// The due among `events`, at most `limit`, and how far they were looked at.
fn select_due<'a>(
    events: impl Iterator<Item = &'a Arc<PlatformEvent>>,
    spans: &[Span],
    after: Seq,
    limit: usize,
) -> DueEvents {
    let mut selected = DueEvents {
        through: after,
        due: Vec::new(),
    };
    for event in events {
        if is_due(spans, event.seq, &event.event_key) {
            if selected.due.len() == limit {
                break;
            }
            selected.due.push(Arc::clone(event));
        }
        selected.through = event.seq;
    }
    selected
}

/// How many events the next page takes, so that it weighs about as much as a page may.
fn next_page(events: &[Arc<PlatformEvent>]) -> usize {
    let weights = events.iter().map(|event| event.payload.len() + OVERHEAD_BYTES);
    let bytes: usize = weights.sum();
    match bytes.checked_div(events.len()) {
        Some(each) if each > 0 => (PAGE_BYTES / each).clamp(FEWEST_EVENTS, MOST_EVENTS),
        _ => MOST_EVENTS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::samples::{event, span};

    fn seqs(selected: &DueEvents) -> (i64, Vec<i64>) {
        let due = selected.due.iter().map(|event| event.seq.get());
        (selected.through.get(), due.collect())
    }

    fn tail(head: i64, seqs: std::ops::RangeInclusive<i64>) -> LogTail {
        let (mut tail, mut recent) = (LogTail::default(), Ring::default());
        recent.push(seqs.map(|seq| event(seq, if seq % 2 == 0 { "crm.deal" } else { "chat.message" })));
        tail.advance(Seq::new(head));
        tail.push(recent);
        tail
    }

    #[test]
    fn the_head_never_goes_back() {
        let mut tail = LogTail::default();
        assert_eq!(tail.advance(Seq::new(7)), Seq::ZERO);
        assert_eq!(tail.advance(Seq::new(5)), Seq::new(7));
        assert_eq!(tail.head(), Seq::new(7));
    }

    #[test]
    fn what_is_due_is_taken_from_the_ring_as_far_as_that_reaches_back() {
        let tail = tail(8, 5..=8);
        let spans = [span("crm.*")];
        let due = |after: i64, limit| {
            tail.recent_due(Seq::new(after), &spans, limit)
                .map(|due| seqs(&due))
        };
        assert_eq!(due(3, 10), None);
        assert_eq!(due(4, 10), Some((8, vec![6, 8])));
        assert_eq!(due(4, 1), Some((7, vec![6])), "up to the one that is left out");
        assert_eq!(due(8, 10), Some((8, vec![])));
    }

    #[test]
    fn a_page_that_ends_early_ends_the_log() {
        let mut tail = tail(9, 8..=9);
        let page = tail.page_after(Seq::new(2));
        let expected = PageRange {
            after: Seq::new(2),
            through: Seq::new(9),
            limit: FIRST_PAGE_EVENTS,
        };
        assert_eq!(page, expected);
        let events = [event(4, "crm.deal"), event(5, "chat.message")];
        let due = tail.page_due(page, &events, &[span("crm.*")], 10);
        assert_eq!(seqs(&due), (9, vec![4]), "retention has removed what comes after");
        let full = PageRange { limit: 2, ..page };
        let due = tail.page_due(full, &events, &[span("crm.*")], 10);
        assert_eq!(seqs(&due), (5, vec![4]));
    }

    #[test]
    fn an_event_of_a_page_that_is_in_the_ring_is_taken_from_there() {
        let mut tail = tail(8, 8..=8);
        let page = tail.page_after(Seq::new(7));
        let due = tail.page_due(page, &[event(8, "crm.deal")], &[span("crm.*")], 10);
        let kept = tail.ring().get(Seq::new(8)).unwrap();
        assert!(Arc::ptr_eq(&due.due[0], kept));
    }

    #[test]
    fn the_next_page_weighs_about_as_much_as_it_may() {
        assert_eq!(next_page(&[]), MOST_EVENTS);
        assert_eq!(next_page(&[event(1, "crm.deal")]), MOST_EVENTS);
        let mut heavy = Arc::into_inner(event(1, "crm.deal")).unwrap();
        heavy.payload = "x".repeat(PAGE_BYTES / 8 - OVERHEAD_BYTES).into();
        assert_eq!(next_page(&[Arc::new(heavy)]), 8);
        let mut huge = Arc::into_inner(event(1, "crm.deal")).unwrap();
        huge.payload = "x".repeat(2 * PAGE_BYTES).into();
        assert_eq!(next_page(&[Arc::new(huge)]), FEWEST_EVENTS);
    }
}

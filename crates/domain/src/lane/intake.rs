//! The intake: how far the log was read, and the queue of what was read and is not started.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Due, LaneCommand,
    queue::{Queue, Queued},
};
use crate::{event::PlatformEvent, handler_name::HandlerName, seq::Seq, timestamp::Timestamp};

#[derive(Debug)]
pub(super) struct Intake {
    /// How far the log was read.
    read_through: Seq,
    /// A `ReadAfter` is outstanding.
    reading: bool,
    /// Deliveries beyond `read_through` that were handled before this lane was attached.
    handled: BTreeSet<(Seq, HandlerName)>,
    queue: Queue,
    /// How many events one read may bring.
    page: usize,
}

impl Intake {
    pub(super) fn new(settled: Seq, handled: BTreeSet<(Seq, HandlerName)>, page: usize) -> Self {
        Self {
            read_through: settled,
            reading: false,
            handled,
            queue: Queue::default(),
            page,
        }
    }

    pub(super) fn read_through(&self) -> Seq {
        self.read_through
    }

    /// How many deliveries wait in the queue.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The delivery that starts next.
    pub(super) fn next(&self) -> Option<&Queued> {
        self.queue.front()
    }

    pub(super) fn next_seq(&self) -> Option<Seq> {
        self.next().map(|queued| queued.due.event.seq)
    }

    /// Puts the event in the place of what is queued of it.
    pub(super) fn erase(&mut self, event: &Arc<PlatformEvent>) {
        self.queue.erase(event);
    }

    pub(super) fn take_next(&mut self) -> Option<Due> {
        self.queue.pop()
    }

    /// The last event before the next delivery; the last event read where no delivery waits.
    pub(super) fn before_next(&self) -> Seq {
        self.next_seq().map_or(self.read_through, Seq::prev)
    }

    /// Whether nothing that was read is left and no read is outstanding.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.reading
    }

    /// Whether everything up to `head` was read and has left the queue.
    pub(super) fn is_finished(&self, head: Seq) -> bool {
        self.read_through >= head && self.queue.is_empty()
    }

    /// Asks for the next events, unless a read is outstanding or the queue holds half a page or too many bytes.
    pub(super) fn read(&mut self) -> Option<LaneCommand> {
        if self.reading || !self.queue.is_below((self.page / 2).max(1)) {
            return None;
        }
        self.reading = true;
        Some(LaneCommand::ReadAfter {
            seq: self.read_through,
            limit: self.page,
        })
    }

    /// Takes the answer of a read, without the deliveries that were handled before. An answer that was not asked
    /// for is ignored.
    pub(super) fn read_ended(&mut self, through: Seq, due: Vec<Due>, now: Timestamp) {
        if !std::mem::take(&mut self.reading) {
            return;
        }
        for due in due {
            if !self.handled.contains(&(due.event.seq, due.handler)) {
                self.queue.push(due, now);
            }
        }
        self.read_through = self.read_through.max(through);
        self.handled = self
            .handled
            .split_off(&(self.read_through.next(), HandlerName::WHOLE));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::due, *};

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn intake(handled: &[i64]) -> Intake {
        let handled = handled.iter().map(|seq| (Seq::new(*seq), HandlerName::WHOLE));
        Intake::new(Seq::ZERO, handled.collect(), 4)
    }

    fn asks_after(intake: &mut Intake) -> Option<Seq> {
        intake.read().map(|command| match command {
            LaneCommand::ReadAfter { seq, limit: 4 } => seq,
            other => unreachable!("{other:?} is no read of a page"),
        })
    }

    #[test]
    fn one_read_is_outstanding_and_the_next_waits_until_less_than_half_a_page_is_queued() {
        let mut intake = intake(&[]);
        assert_eq!(asks_after(&mut intake), Some(Seq::ZERO));
        assert_eq!(asks_after(&mut intake), None, "one is outstanding");
        intake.read_ended(Seq::new(9), vec![due(3), due(7)], NOW);
        assert_eq!(asks_after(&mut intake), None, "half a page is queued");
        intake.take_next();
        assert_eq!(asks_after(&mut intake), Some(Seq::new(9)));
    }

    #[test]
    fn what_was_handled_before_is_not_queued() {
        let mut intake = intake(&[2, 5]);
        intake.read();
        intake.read_ended(Seq::new(3), vec![due(1), due(2), due(3)], NOW);
        assert_eq!(intake.queued(), 2);
        assert_eq!(intake.take_next().map(|due| due.event.seq), Some(Seq::new(1)));
        assert_eq!(intake.next_seq(), Some(Seq::new(3)));
        intake.read();
        intake.read_ended(Seq::new(5), vec![due(5)], NOW);
        assert_eq!(intake.queued(), 1, "5 is beyond the first page");
    }

    #[test]
    fn the_place_before_the_next_delivery_is_the_end_of_the_read_once_the_queue_is_empty() {
        let mut intake = intake(&[]);
        intake.read();
        intake.read_ended(Seq::new(9), vec![due(3)], NOW);
        assert_eq!(intake.before_next(), Seq::new(2));
        assert!(!intake.is_finished(Seq::new(9)));
        intake.take_next();
        assert_eq!(intake.before_next(), Seq::new(9));
        assert!(intake.is_finished(Seq::new(9)) && !intake.is_finished(Seq::new(10)));
    }

    #[test]
    fn an_answer_that_was_not_asked_for_is_ignored() {
        let mut intake = intake(&[]);
        intake.read_ended(Seq::new(9), vec![due(3)], NOW);
        assert!(intake.is_idle());
        assert_eq!(intake.read_through(), Seq::ZERO);
    }
}

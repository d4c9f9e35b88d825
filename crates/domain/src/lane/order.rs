//! The order: in an ordered lane, which events wait for those before them.

use crate::seq::Seq;

#[derive(Debug)]
pub(super) struct Order {
    ordered: bool,
    /// Former lanes ran without order up to here: retries of these events do not hold the events before them.
    unordered_through: Option<Seq>,
    /// The event last attempted for the first time. In an ordered lane all events before it were done by then.
    begun: Option<Seq>,
}

impl Order {
    pub(super) fn new(ordered: bool, unordered_through: Option<Seq>) -> Self {
        Self {
            ordered,
            unordered_through,
            begun: None,
        }
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.ordered
    }

    pub(super) fn change(&mut self, ordered: bool) {
        self.ordered = ordered;
    }

    /// The first attempt of a delivery of this event starts.
    pub(super) fn begin(&mut self, seq: Seq) {
        self.begun = Some(seq);
    }

    /// Whether an event waits because an event before it is not delivered or dead yet. The handlers of one event
    /// do not wait for each other. `others_unfinished` tells whether any started live delivery has not ended.
    pub(super) fn holds(&self, seq: Seq, others_unfinished: impl FnOnce() -> bool) -> bool {
        self.ordered && Some(seq) > self.unordered_through && Some(seq) != self.begun && others_unfinished()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNFINISHED: fn() -> bool = || true;
    const FINISHED: fn() -> bool = || false;

    #[test]
    fn an_event_waits_for_those_before_it_only_in_an_ordered_lane() {
        let mut order = Order::new(true, None);
        assert!(order.holds(Seq::new(2), UNFINISHED));
        assert!(!order.holds(Seq::new(2), FINISHED));
        order.change(false);
        assert!(!order.holds(Seq::new(2), UNFINISHED));
    }

    #[test]
    fn the_handlers_of_one_event_do_not_wait_for_each_other() {
        let mut order = Order::new(true, None);
        order.begin(Seq::new(2));
        assert!(!order.holds(Seq::new(2), UNFINISHED));
        assert!(order.holds(Seq::new(3), UNFINISHED));
    }

    #[test]
    fn events_that_a_former_lane_went_past_without_order_do_not_wait() {
        let order = Order::new(true, Some(Seq::new(5)));
        assert!(!order.holds(Seq::new(5), UNFINISHED));
        assert!(order.holds(Seq::new(6), UNFINISHED));
    }
}

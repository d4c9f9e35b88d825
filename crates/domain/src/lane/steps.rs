//! What may follow from an input, step by step.

use super::{
    Delivery, Lane, LaneCommand, LaneMode, LetterChange, RetryRow,
    breaker::Source,
    settler::Urgency,
    unstarted::{Unstarted, name_cause},
};
use crate::{
    attempt::{DeadLetterReason, DeliveryKind},
    timestamp::Timestamp,
};

impl Lane {
    /// Everything that may follow from an input.
    pub(super) fn go_on(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        self.review_suspicion();
        self.park_stragglers(now);
        self.start(now, commands);
        self.park_unstarted_rest(now);
        self.read_events(now, commands);
        self.read_retries(now, commands);
        self.settle(now, commands);
        self.wake(now, commands);
        self.end(commands);
    }

    fn review_suspicion(&mut self) {
        let retries_wait_from = if self.progress.has_busy_retries() {
            Some(Timestamp::MIN)
        } else {
            self.retries.earliest()
        };
        self.poison.review(self.progress.durable(), retries_wait_from);
    }

    /// While the window is full, attempts that take long do not keep the cursor from passing what is done.
    fn park_stragglers(&mut self, now: Timestamp) {
        if self.hold.is_running() && !self.has_room() {
            self.progress.park_stragglers(now);
        }
    }

    /// Attempts come first: a probe is not kept waiting by the many deliveries that the breaker has held too long, and
    /// may save them.
    fn start(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        loop {
            let room = self.has_room();
            if !room && !self.is_begun_event_next() {
                break;
            }
            if let Some(next) = self.next_attempt(room, now) {
                commands.push(LaneCommand::Attempt(self.begin(next, now)));
            } else if let Some((next, reason)) = self.next_given_up(room, now) {
                commands.push(LaneCommand::ChangeLetter(self.give_up(next, reason)));
            } else {
                break;
            }
        }
    }

    /// Deliveries are started until the window is full. After a panic each has to be settled before the next
    /// is started, so that the next panic has one suspect.
    fn has_room(&self) -> bool {
        let one_at_a_time = self.poison.is_suspecting() && !self.hold.is_closing();
        self.progress.has_room(one_at_a_time)
    }

    pub(super) fn is_one_at_a_time(&self) -> bool {
        self.order.is_ordered() || self.poison.is_suspecting()
    }

    /// Whether the next delivery is for another handler of the event begun last. It needs no room: the cursor
    /// cannot pass the event without it, and so the window could not move.
    fn is_begun_event_next(&self) -> bool {
        let next = self.intake.next_seq();
        next.is_some() && next == self.progress.last_started()
    }

    /// Takes the delivery that is to be attempted now, if there is one: due retries and new events take turns, also as
    /// probes. Without `room`, takes an event only.
    fn next_attempt(&mut self, room: bool, now: Timestamp) -> Option<Unstarted> {
        if !self.hold.is_running() || !self.gate.is_open(self.is_one_at_a_time(), now) {
            return None;
        }
        let event_may_start = self.gate.lets_through(Source::Events, now) && self.event_may_start();
        if room
            && self.gate.lets_through(Source::Retries, now)
            && (self.gate.retry_is_next() || !event_may_start)
            && let Some(row) = self.take_retry()
        {
            return Some(Unstarted::Retry(row));
        }
        let event = event_may_start.then(|| self.intake.take_next()).flatten();
        event.map(Unstarted::Event)
    }

    fn event_may_start(&self) -> bool {
        let unfinished = || self.retries.has_live() || self.progress.has_unfinished_live();
        self.intake.next().is_some_and(|queued| {
            let event = &queued.due.event;
            !self.poison.forbids(queued.due.live_key(), event) && !self.order.holds(event.seq, unfinished)
        })
    }

    /// A retry waits until the cursor can pass its event. If it were delivered and its row removed before that, a
    /// restart would take the event for one that was never attempted.
    fn take_retry(&mut self) -> Option<RetryRow> {
        if self.retries.loaded() == 0 {
            return None;
        }
        let settleable = self.progress.settleable(self.intake.before_next());
        let poison = &self.poison;
        let may_start = |row: &RetryRow| {
            let cursor_can_pass = row.key.kind == DeliveryKind::Replay || row.event.seq <= settleable;
            cursor_can_pass && !poison.forbids(row.key, &row.event)
        };
        if self.order.is_ordered() {
            self.retries.take_loaded_in_order(may_start)
        } else {
            self.retries.take_loaded(may_start)
        }
    }

    fn begin(&mut self, next: Unstarted, now: Timestamp) -> Delivery {
        self.gate.attempt_started(next.source(), now);
        if let Unstarted::Event(due) = &next {
            self.order.begin(due.event.seq);
        }
        self.progress.begin(next, now)
    }

    /// Takes the delivery that is to be given up now, if there is one: due retries and events at the front take turns.
    /// Without `room`, takes an event only.
    fn next_given_up(&mut self, room: bool, now: Timestamp) -> Option<(Unstarted, DeadLetterReason)> {
        let rule = self.hold.give_up_rule(self.gate.breaker(), &self.poison, now);
        let event = self
            .intake
            .next()
            .and_then(|queued| rule.reason(queued.due.live_key(), &queued.due.event, queued.waiting_since));
        if room && (self.gate.retry_is_next() || event.is_none()) {
            let retry = self.retries.rows().find_map(|row| {
                let reason = rule.reason(row.key, &row.event, row.next_attempt_at)?;
                Some((row.key, reason))
            });
            if let Some((key, reason)) = retry {
                let row = self.retries.take_loaded(|row| row.key == key)?;
                return Some((Unstarted::Retry(row), reason));
            }
        }
        let reason = event?;
        Some((Unstarted::Event(self.intake.take_next()?), reason))
    }

    fn give_up(&mut self, next: Unstarted, reason: DeadLetterReason) -> LetterChange {
        self.gate.took(next.source());
        let unstarted = self.intake.before_next();
        let mut given_up = self.progress.give_up(next, reason, unstarted);
        name_cause(&mut given_up, self.gate.breaker(), &self.poison);
        LetterChange::GivenUp(Box::new(given_up))
    }

    /// A lane that drains starts nothing more. Where some handlers of an event have had it, the others are parked,
    /// so that the cursor can pass it and a successor does not deliver it to the first ones again.
    fn park_unstarted_rest(&mut self, now: Timestamp) {
        while self.hold.is_draining()
            && self.is_begun_event_next()
            && let Some(due) = self.intake.take_next()
        {
            self.progress.park_unstarted(due, now);
        }
    }

    fn read_events(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        if self.hold.wants_events(&self.intake, self.gate.breaker(), now) {
            commands.extend(self.intake.read());
        }
    }

    /// Asks for one page more than the rows of busy deliveries, which the answer may hold as well.
    fn read_retries(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        let Some(due_by) = self.hold.wants_retries(self.gate.breaker(), now) else {
            return;
        };
        let page = if self.hold.is_closing() {
            self.progress.capacity()
        } else {
            self.gate.concurrency()
        };
        commands.extend(self.retries.read(due_by, page + self.progress.known_rows()));
    }

    fn settle(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        let unstarted = self.intake.before_next();
        let half_full = self.progress.used() * 2 >= self.progress.capacity();
        let urgency = Urgency {
            is_pressing: half_full || !self.hold.is_running(),
            is_ending: self.hold.is_ending(&self.intake),
        };
        if self
            .settler
            .issues(self.progress.unsettled(unstarted), urgency, now)
        {
            commands.push(LaneCommand::Settle(self.progress.issue_settlement(unstarted)));
        }
    }

    /// Asks to be woken for the first thing that waits for time.
    fn wake(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        let running = self.hold.is_running();
        let retry = self.retries.next_at().filter(|_| self.retries.may_read());
        let straggler = self.progress.straggles_at().filter(|_| !self.has_room());
        let gate = self.gate.opens_at(self.waiting(), now);
        let starts = [retry, straggler, gate].map(|at| at.filter(|_| running));
        let breaker = self.gate.breaker();
        let hold = self.hold.ends_at(&self.intake, &self.retries, breaker, now);
        let unsettled = self.progress.unsettled(self.intake.before_next());
        let times = starts.into_iter().flatten().chain(hold);
        let at = self.alarm.set(times.chain(self.settler.due_at(unsettled)), now);
        commands.extend(at.map(LaneCommand::WakeAt));
    }

    fn end(&mut self, commands: &mut Vec<LaneCommand>) {
        let end = match self.hold.mode() {
            LaneMode::Draining => LaneCommand::Drained,
            LaneMode::Closing { head } if self.intake.is_finished(head) && self.retries.is_exhausted() => {
                LaneCommand::Closed
            }
            _ => return,
        };
        if self.progress.is_at_rest(self.intake.before_next()) {
            self.ended = true;
            commands.push(end);
        }
    }
}

//! What can go on after an input, apart from `start`: parking, reading, settling, waking, ending.

use super::{Lane, LaneCommand, LaneMode, ParkedRetry, STRAGGLER_GRACE, SlotState, Stage, retries::Busy};
use crate::{seq::Seq, timestamp::Timestamp};

impl Lane {
    pub(super) fn go_on(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        self.poison.review(self.ledger.durable(), self.retries.earliest());
        self.park_stragglers(now);
        self.start(now, commands);
        self.park_unstarted_rest(now);
        self.read_events(now, commands);
        self.read_retries(now, commands);
        self.settle(now, commands);
        self.wake(now, commands);
        self.end(commands);
    }

    /// While the window is full, attempts at its front that take long are parked in flight, so that the
    /// cursor can pass them. Their rows tell of the attempts made before, and are due when the attempt must
    /// have ended.
    fn park_stragglers(&mut self, now: Timestamp) {
        if self.mode != LaneMode::Running || self.has_room() {
            return;
        }
        let Self {
            window,
            ledger,
            retries,
            config,
            ..
        } = self;
        let Some(since) = window.held_since() else { return };
        if since + config.straggler_after > now {
            return;
        }
        window.park_stragglers(now, config.straggler_after, |due, started| {
            let (key, event) = (due.live_key(), &due.event);
            retries.begin(key, Busy::new(event.clone(), 1, None, Stage::InFlight));
            ledger.park(ParkedRetry {
                key,
                seq: event.seq,
                attempts: 0,
                next_attempt_at: started + due.attempt_timeout + STRAGGLER_GRACE,
                last_error: None,
                last_status: None,
            });
        });
    }

    /// A lane that drains starts nothing more. Where some handlers of an event have had it, the others are parked,
    /// so that the cursor can pass it and the first are not given it again.
    fn park_unstarted_rest(&mut self, now: Timestamp) {
        if self.mode != LaneMode::Draining {
            return;
        }
        while self.is_begun_event_next() {
            let Some(due) = self.queue.pop() else { return };
            self.ledger.park(ParkedRetry {
                key: due.live_key(),
                seq: due.event.seq,
                attempts: 0,
                next_attempt_at: now,
                last_error: None,
                last_status: None,
            });
            self.window.push(due, SlotState::Parked);
        }
    }

    fn read_events(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        let wanted = match self.mode {
            LaneMode::Running => true,
            LaneMode::Held { .. } => self.expires_events(now),
            LaneMode::Closing { head } => self.read_through < head,
            LaneMode::Draining => false,
        };
        if wanted && !self.reading && self.queue.is_below((self.config.window / 2).max(1)) {
            self.reading = true;
            commands.push(LaneCommand::ReadAfter {
                seq: self.read_through,
                limit: self.config.window,
            });
        }
    }

    /// Asks for one page more than the rows of busy deliveries, which the answer may hold as well.
    fn read_retries(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        let (due_by, page) = match self.mode {
            LaneMode::Running => (now, self.concurrency),
            LaneMode::Held { .. } => match self.expires_retries(now) {
                Some(due_by) => (due_by, self.concurrency),
                None => return,
            },
            LaneMode::Closing { .. } => (Timestamp::MAX, self.config.window),
            LaneMode::Draining => return,
        };
        if self.retries.may_read() && self.retries.next_at().is_some_and(|at| at <= due_by) {
            self.retries.read_started();
            let limit = page + self.retries.busy() + self.ledger.touched();
            commands.push(LaneCommand::ReadRetries { due_by, limit });
        }
    }

    fn settle(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        if self.ledger.is_outstanding() {
            return;
        }
        let settleable = self.settleable();
        let is_worth_it = self.ledger.has_rows()
            || self.settlement_at(settleable, now).is_some_and(|at| at <= now)
            || self
                .lazy_settlement_at()
                .is_some_and(|at| at <= now || self.is_ending());
        if is_worth_it {
            self.settleable_since = None;
            commands.push(LaneCommand::Settle(self.ledger.issue(settleable, now)));
        }
    }

    /// When what is delivered is to be settled, if anything is.
    fn settlement_at(&mut self, settleable: Seq, now: Timestamp) -> Option<Timestamp> {
        if self.window.first().is_none_or(|first| first > settleable) {
            self.settleable_since = None;
            return None;
        }
        let since = *self.settleable_since.get_or_insert(now);
        let is_pressing = self.mode != LaneMode::Running || self.window_used() * 2 >= self.config.window;
        Some(if is_pressing {
            now
        } else {
            since + self.config.settle_after
        })
    }

    /// When the cursor is to be written that has passed nothing but events that were not due.
    fn lazy_settlement_at(&self) -> Option<Timestamp> {
        (self.settleable() > self.ledger.durable())
            .then(|| self.ledger.issued_at() + self.config.lazy_cursor_every)
    }

    /// Whether no event will be started or given up any more.
    fn is_ending(&self) -> bool {
        match self.mode {
            LaneMode::Running | LaneMode::Held { .. } => false,
            LaneMode::Closing { head } => self.read_through >= head && self.queue.is_empty(),
            LaneMode::Draining => true,
        }
    }

    /// Asks to be woken for the first thing that waits for time. An earlier wish is left to come: the tick
    /// finds nothing to do and asks anew.
    fn wake(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        let running = self.mode == LaneMode::Running;
        let retry = self
            .retries
            .next_at()
            .filter(|_| running && self.retries.may_read());
        let straggler = self.window.held_since().filter(|_| running && !self.has_room());
        let lazy = self.lazy_settlement_at();
        let settlement = self
            .settleable_since
            .map(|since| since + self.config.settle_after);
        let [lazy, settlement] = [lazy, settlement].map(|at| at.filter(|_| !self.ledger.is_outstanding()));
        let straggler = straggler.map(|since| since + self.config.straggler_after);
        let gate = self.gate_opens_at(now).filter(|_| running);
        let Some(at) = [retry, straggler, lazy, settlement, gate]
            .into_iter()
            .flatten()
            .chain(self.hold_ends(now))
            .filter(|at| *at > now)
            .min()
        else {
            return;
        };
        if self.wake_at.is_none_or(|wish| at < wish) {
            self.wake_at = Some(at);
            commands.push(LaneCommand::WakeAt(at));
        }
    }

    fn end(&mut self, commands: &mut Vec<LaneCommand>) {
        let at_rest = self.window_used() == 0
            && !self.ledger.is_outstanding()
            && !self.ledger.has_rows()
            && self.settleable() == self.ledger.durable();
        let end = match self.mode {
            LaneMode::Draining => LaneCommand::Drained,
            LaneMode::Closing { .. } if self.is_ending() && self.retries.is_exhausted() => {
                LaneCommand::Closed
            }
            _ => return,
        };
        if at_rest {
            self.ended = true;
            commands.push(end);
        }
    }
}

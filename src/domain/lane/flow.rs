//! What can go on after an input: parking, starting, reading, settling, waking, ending.

use std::{sync::Arc, time::Duration};

use super::{
    Command, Delivery, DeliveryKey, GivenUp, Lane, LaneMode, ParkedRetry, RetryRow, SlotState, Stage,
    retries::Busy,
};
use crate::domain::{
    attempt::{DeadLetterReason, DeliveryKind},
    event::PlatformEvent,
    timestamp::Timestamp,
};

/// How long after its time-out a straggler's row is due, should nobody hear of its attempt again.
const STRAGGLER_GRACE: Duration = Duration::from_secs(1);

/// What starts next.
enum Next {
    Event(Arc<PlatformEvent>),
    Retry(RetryRow),
}

impl Lane {
    pub(super) fn go_on(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        self.park_stragglers(now);
        self.start(now, commands);
        self.read_events(commands);
        self.read_retries(now, commands);
        self.settle(now, commands);
        self.wake(now, commands);
        self.end(commands);
    }

    /// The one gate for attempts. A breaker that lets one delivery at a time through, a window of 1 after a
    /// panic, and lanes that finish in order narrow it here.
    fn may_attempt(&self) -> bool {
        self.in_flight < self.concurrency && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.window_used() < self.config.window
    }

    fn start(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        match self.mode {
            LaneMode::Running => {
                while self.may_attempt()
                    && let Some(next) = self.next()
                {
                    commands.push(Command::Attempt(self.begin(next, now)));
                }
            }
            LaneMode::Closing { .. } => {
                while self.has_room()
                    && let Some(next) = self.next()
                {
                    commands.push(Command::GiveUp(self.give_up_untried(next)));
                }
            }
            LaneMode::Held { .. } | LaneMode::Draining => {}
        }
    }

    /// Due retries and new events take turns.
    fn next(&mut self) -> Option<Next> {
        if (self.retry_is_next || self.queue.is_empty())
            && let Some(row) = self.next_retry()
        {
            self.retry_is_next = false;
            return Some(Next::Retry(row));
        }
        self.retry_is_next = true;
        self.queue.pop_front().map(Next::Event)
    }

    /// A retry waits until the cursor can pass its event: were it delivered and its row removed before, a
    /// restart would take the event for one that was never tried.
    fn next_retry(&mut self) -> Option<RetryRow> {
        if self.retries.loaded() == 0 {
            return None;
        }
        let settleable = self.settleable();
        let closing = matches!(self.mode, LaneMode::Closing { .. });
        self.retries
            .take_loaded(|row| closing || row.key.kind == DeliveryKind::Replay || row.event.seq <= settleable)
    }

    fn begin(&mut self, next: Next, now: Timestamp) -> Delivery {
        self.in_flight += 1;
        match next {
            Next::Event(event) => {
                self.window
                    .push(event.clone(), SlotState::InFlight { started: now });
                Delivery {
                    key: live_key(&event),
                    event,
                    attempt: 1,
                    dead_letter_id: None,
                }
            }
            Next::Retry(RetryRow {
                key,
                event,
                attempts,
                dead_letter_id,
                ..
            }) => {
                let attempt = attempts.saturating_add(1);
                self.retries.begin(
                    key,
                    Busy::new(event.clone(), attempt, dead_letter_id, Stage::InFlight),
                );
                Delivery {
                    key,
                    event,
                    attempt,
                    dead_letter_id,
                }
            }
        }
    }

    fn give_up_untried(&mut self, next: Next) -> GivenUp {
        let reason = DeadLetterReason::Uninstalled;
        match next {
            Next::Event(event) => {
                let key = live_key(&event);
                let settled = self.settled_with_letter(None);
                self.window.push(event.clone(), SlotState::GivingUp { settled });
                let (attempts, dead_letter_id, last_status, last_error) = (0, None, None, None);
                GivenUp {
                    key,
                    event,
                    settled,
                    reason,
                    attempts,
                    last_status,
                    last_error,
                    dead_letter_id,
                }
            }
            Next::Retry(row) => {
                let RetryRow {
                    key,
                    event,
                    attempts,
                    dead_letter_id,
                    last_error,
                    last_status,
                    ..
                } = row;
                let settled = self.settled_with_letter(None);
                let stage = Stage::Writing { settled };
                self.retries
                    .begin(key, Busy::new(event.clone(), attempts, dead_letter_id, stage));
                GivenUp {
                    key,
                    event,
                    settled,
                    reason,
                    attempts,
                    last_status,
                    last_error,
                    dead_letter_id,
                }
            }
        }
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
        window.park_stragglers(now, config.straggler_after, |event, started| {
            let key = live_key(event);
            retries.begin(key, Busy::new(event.clone(), 1, None, Stage::InFlight));
            ledger.park(ParkedRetry {
                key,
                seq: event.seq,
                attempts: 0,
                next_attempt_at: started + config.attempt_timeout + STRAGGLER_GRACE,
                last_error: None,
                last_status: None,
            });
        });
    }

    fn read_events(&mut self, commands: &mut Vec<Command>) {
        let wanted = match self.mode {
            LaneMode::Running => true,
            LaneMode::Closing { head } => self.read_through < head,
            LaneMode::Held { .. } | LaneMode::Draining => false,
        };
        if wanted && !self.reading && self.queue.len() < (self.config.window / 2).max(1) {
            self.reading = true;
            commands.push(Command::ReadAfter {
                seq: self.read_through,
                limit: self.config.window,
            });
        }
    }

    /// Asks for one page more than the rows of busy deliveries, which the answer may hold as well.
    fn read_retries(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        let (due_by, page) = match self.mode {
            LaneMode::Running => (now, self.concurrency),
            LaneMode::Closing { .. } => (Timestamp::MAX, self.config.window),
            LaneMode::Held { .. } | LaneMode::Draining => return,
        };
        if self.retries.may_read() && self.retries.next_at().is_some_and(|at| at <= due_by) {
            self.retries.read_started();
            let limit = page + self.retries.busy() + self.ledger.touched();
            commands.push(Command::ReadRetries { due_by, limit });
        }
    }

    fn settle(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        if self.ledger.is_outstanding() {
            return;
        }
        let settleable = self.settleable();
        let is_worth_it = self.ledger.has_rows()
            || self.window.front_is_done()
            || self
                .lazy_settlement_at()
                .is_some_and(|at| at <= now || self.is_ending());
        if is_worth_it {
            commands.push(Command::Settle(self.ledger.issue(settleable, now)));
        }
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
    fn wake(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        let running = self.mode == LaneMode::Running;
        let retry = self
            .retries
            .next_at()
            .filter(|_| running && self.retries.may_read());
        let straggler = self.window.held_since().filter(|_| running && !self.has_room());
        let lazy = self
            .lazy_settlement_at()
            .filter(|_| !self.ledger.is_outstanding());
        let straggler = straggler.map(|since| since + self.config.straggler_after);
        let Some(at) = [retry, straggler, lazy]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
        else {
            return;
        };
        if self.wake_at.is_none_or(|wish| at < wish) {
            self.wake_at = Some(at);
            commands.push(Command::WakeAt(at));
        }
    }

    fn end(&mut self, commands: &mut Vec<Command>) {
        let at_rest = self.window_used() == 0
            && !self.ledger.is_outstanding()
            && !self.ledger.has_rows()
            && self.settleable() == self.ledger.durable();
        let end = match self.mode {
            LaneMode::Draining => Command::Drained,
            LaneMode::Closing { .. } if self.is_ending() && self.retries.is_exhausted() => Command::Closed,
            _ => return,
        };
        if at_rest {
            self.ended = true;
            commands.push(end);
        }
    }
}

fn live_key(event: &PlatformEvent) -> DeliveryKey {
    DeliveryKey {
        kind: DeliveryKind::Live,
        event_id: event.id,
    }
}

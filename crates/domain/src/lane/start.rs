//! What starts, what it has to wait for, and how a delivery is given up without an attempt.

use super::{
    Delivery, Due, GivenUp, Lane, LaneCommand, LaneMode, LetterChange, RetryRow, SlotState, Source, Stage,
    retries::Busy,
};
use crate::{
    attempt::{DeadLetterReason, DeliveryKind},
    seq::Seq,
    timestamp::Timestamp,
};

/// What is taken from the queue or from the loaded retries.
pub(super) enum Next {
    Event(Due),
    Retry(RetryRow),
}

impl Lane {
    /// An attempt comes first, so that a probe is not kept waiting by the many that the breaker has held too
    /// long, and may save them.
    pub(super) fn start(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        loop {
            let room = self.has_room();
            if !room && !self.is_begun_event_next() {
                break;
            }
            if self.may_attempt(now)
                && let Some(next) = self.next_attempt(room, now)
            {
                commands.push(LaneCommand::Attempt(self.begin(next, now)));
            } else if let Some((next, reason)) = self.next_doomed(room, now) {
                commands.push(LaneCommand::ChangeLetter(LetterChange::GivenUp(Box::new(
                    self.give_up_untried(next, reason),
                ))));
            } else {
                break;
            }
        }
    }

    /// The one gate for attempts, together with the room in the window and the breaker's pauses.
    fn may_attempt(&self, now: Timestamp) -> bool {
        self.mode == LaneMode::Running && self.in_flight < self.parallel() && self.rate.opens_at(now) <= now
    }

    /// How many attempts may be in flight.
    pub(super) fn parallel(&self) -> usize {
        if self.config.ordered || self.breaker.is_open() || self.poison.is_suspecting() {
            1
        } else {
            self.concurrency
        }
    }

    /// Deliveries are started until the window is full. After a panic each has to be settled before the next
    /// is started, so that there is never a doubt about whose fault the next panic is.
    pub(super) fn has_room(&self) -> bool {
        let closing = matches!(self.mode, LaneMode::Closing { .. });
        let window = if self.poison.is_suspecting() && !closing {
            1
        } else {
            self.config.window
        };
        self.window_used() < window
    }

    /// Whether the next delivery is for another handler of the event begun last. It needs no room: the cursor
    /// cannot pass the event without it, and so the window could not move.
    pub(super) fn is_begun_event_next(&self) -> bool {
        let next = self.queue.front().map(|queued| queued.due.event.seq);
        next.is_some() && next == self.window.last()
    }

    /// When the breaker and the rate limit next open the gate to something that waits for it.
    pub(super) fn gate_opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        let rate = self.rate.opens_at(now);
        let waiting = [
            (Source::Events, !self.queue.is_empty()),
            (Source::Retries, self.retries.loaded() > 0),
        ];
        waiting
            .into_iter()
            .filter(|(_, waits)| *waits)
            .map(|(source, _)| {
                self.breaker
                    .next_probe_at(source)
                    .map_or(rate, |probe| probe.max(rate))
            })
            .filter(|at| *at > now)
            .min()
    }

    /// Due retries and new events take turns, also as probes. Without `room`, an event alone.
    fn next_attempt(&mut self, room: bool, now: Timestamp) -> Option<Next> {
        let event_may_start = self.breaker.lets_through(Source::Events, now) && self.event_may_start();
        if room
            && self.breaker.lets_through(Source::Retries, now)
            && (self.retry_is_next || !event_may_start)
            && let Some(row) = self.next_retry()
        {
            self.retry_is_next = false;
            return Some(Next::Retry(row));
        }
        let event = event_may_start.then(|| self.queue.pop()).flatten()?;
        self.retry_is_next = true;
        Some(Next::Event(event))
    }

    fn event_may_start(&self) -> bool {
        self.queue.front().is_some_and(|queued| {
            let event = &queued.due.event;
            !self.is_unfit(queued.due.live_key(), event) && !self.is_held_by_another(event.seq)
        })
    }

    /// In an ordered lane, whether an event before this one is not delivered or dead yet. The handlers of one event
    /// do not hold each other.
    fn is_held_by_another(&self, seq: Seq) -> bool {
        self.config.ordered
            && Some(seq) > self.unordered_through
            && Some(seq) != self.begun
            && (self.retries.has_live() || self.ledger.has_live_rows() || self.window.is_giving_up())
    }

    /// A retry waits until the cursor can pass its event: were it delivered and its row removed before, a
    /// restart would take the event for one that was never tried.
    fn next_retry(&mut self) -> Option<RetryRow> {
        if self.retries.loaded() == 0 {
            return None;
        }
        let settleable = self.settleable();
        let poison = &self.poison;
        let may_start = |row: &RetryRow| {
            let has_its_turn = row.key.kind == DeliveryKind::Replay || row.event.seq <= settleable;
            has_its_turn && row.event.defect.is_none() && poison.verdict(row.key).is_none()
        };
        if self.config.ordered {
            self.retries.take_loaded_in_order(may_start)
        } else {
            self.retries.take_loaded(may_start)
        }
    }

    fn begin(&mut self, next: Next, now: Timestamp) -> Delivery {
        self.in_flight += 1;
        self.rate.take(now);
        match next {
            Next::Event(due) => {
                self.breaker.started(Source::Events);
                self.begun = Some(due.event.seq);
                self.window
                    .push(due.clone(), SlotState::InFlight { started: now });
                Delivery {
                    key: due.live_key(),
                    event: due.event,
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
                self.breaker.started(Source::Retries);
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

    fn give_up_untried(&mut self, next: Next, reason: DeadLetterReason) -> GivenUp {
        let settled = self.settled_with_letter(None);
        let mut given_up = match next {
            Next::Event(due) => {
                self.window.push(due.clone(), SlotState::GivingUp { settled });
                GivenUp {
                    key: due.live_key(),
                    event: due.event,
                    settled,
                    reason,
                    attempts: 0,
                    last_status: None,
                    last_error: None,
                    dead_letter_id: None,
                }
            }
            Next::Retry(row) => {
                let stage = Stage::Writing { settled };
                self.retries.begin(
                    row.key,
                    Busy::new(row.event.clone(), row.attempts, row.dead_letter_id, stage),
                );
                GivenUp {
                    key: row.key,
                    event: row.event,
                    settled,
                    reason,
                    attempts: row.attempts,
                    last_status: row.last_status,
                    last_error: row.last_error,
                    dead_letter_id: row.dead_letter_id,
                }
            }
        };
        if reason == DeadLetterReason::BreakerOpen {
            self.name_cause(&mut given_up);
        } else if let Some(defect) = &given_up.event.defect {
            given_up.last_error = Some(defect.to_string());
        } else if let Some(panics) = self.poison.verdict(given_up.key) {
            // Nobody has counted these attempts.
            given_up.attempts = given_up.attempts.saturating_add(panics);
            given_up.last_error = Some(format!("the delivery actor panicked {panics} times over it"));
        }
        given_up
    }

    /// A letter says what kept the breaker open, beside what came of the delivery's own attempts.
    fn name_cause(&self, given_up: &mut GivenUp) {
        let (Some(since), Some(cause)) = (self.breaker.open_since(), self.breaker.cause()) else {
            return;
        };
        let mut error = format!("held by the open breaker since {}", since.to_rfc3339());
        if let Some(cause) = &cause.error {
            error = format!("{error}: {cause}");
        }
        match given_up.last_error.take() {
            Some(own) => error = format!("{error}; its own last attempt: {own}"),
            None => given_up.last_status = cause.status,
        }
        given_up.last_error = Some(error);
    }
}

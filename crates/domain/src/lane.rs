//! Lanes: how the deliveries of one installation go from the log to delivered or dead.
//!
//! A [`Lane`] decides; it does nothing itself. Inputs say what happened, commands say what is to be done,
//! time and randomness are arguments. A delivery goes this way:
//!
//! ```text
//! ReadAfter ─► Events ─► queue ─► Attempt ─┬─ delivered ───────────► Settle (the cursor passes it)
//!                                          ├─ retry ───────────────► Settle (a row is parked) ─┐
//!                                          └─ give up ─► ChangeLetter ─► Settle                │
//!            ReadRetries ─► Retries ─► loaded ─► Attempt … ◄───────────────────────────────────┘
//! ```
//!
//! What a lane guarantees, whatever the order of its inputs:
//! - The cursor (`settled`) only grows, and never passes a due event that is not delivered, parked in the
//!   retry table or a dead letter, durably so in the same transaction.
//! - An event that is due to several handlers is one delivery for each; the cursor passes it with the last.
//! - A delivery has at most one attempt in flight, and once its end is durable it is not attempted again.
//! - Deliveries that were started and are not durably settled never number more than the window, but for the
//!   other handlers of the event begun last: that is how many a crash can repeat. What a lane holds in memory is
//!   bounded by a small multiple of it, and of events not started it reads no more once their payloads exceed 8 MiB.
//! - Events are started in the order of the log. With `ordered`, an event is started only when all before it
//!   are delivered or dead, durably so; only what a former lane, without order, left in flight or parked is
//!   finished in the order in which it is met.
//! - While the breaker is open at most one attempt is in flight that was started since, and none starts
//!   before its pause is over: events have theirs and retries theirs, so that deliveries that fail again and again
//!   do not hold the next event. Never do more attempts start than the rate limit allows.
//! - Whatever holds a delivery ends: an open breaker after the whole schedule, at least ten minutes
//!   (`BREAKER_OPEN`), a hold after `max_hold` (`EXPIRED`), a sign of life or a reset for all. The breaker gives up
//!   nothing that was published after the service was well. What cannot be attempted is given up at once: an
//!   event with a defect (`CORRUPT`), one that makes the actor panic (`POISON`). None of this takes more of
//!   the log or of the retry table into memory than attempts do.
//! - Every due event ends, if every command is answered and ticks come as asked for.
//!
//! The parts: `protocol` (inputs and commands), `queue` (events read), `window` (live deliveries in log
//! order), `retries` (the retry table), `ledger` (what is durable), `start` (what starts, and the one gate it
//! goes through), `breaker`, `rate` and `suspicion` (what narrows the gate), `hold` (what is given up without
//! an attempt), `outcome` (what an attempt's result means), `flow` (what else can go on).

mod breaker;
mod flow;
mod hold;
mod ledger;
mod outcome;
mod poison;
mod protocol;
mod queue;
mod rate;
mod retries;
mod start;
#[cfg(test)]
mod tests;
mod window;

use std::{collections::BTreeSet, time::Duration};

use breaker::{Breaker, Source, Times};
use ledger::Ledger;
use poison::PoisonTracker;
pub use poison::Suspicion;
pub use protocol::{
    Attachment, BreakerCause, BreakerState, Delivery, DeliveryKey, Due, GivenUp, Input, LaneCommand,
    LaneConfig, LaneLimits, LaneMode, LaneSnapshot, LetterChange, ParkedRetry, RetryRow, Settlement,
};
use queue::Queue;
use rate::Rate;
use retries::{Retries, Stage};
use window::{SlotState, Window};

use super::{
    attempt::{AttemptResult, DeliveryKind},
    handler_name::HandlerName,
    seq::Seq,
    timestamp::Timestamp,
};

/// How long after its time-out a straggler's row is due, should nobody hear of its attempt again.
const STRAGGLER_GRACE: Duration = Duration::from_secs(1);

/// The deliveries of one installation. See the [module](self) for what it guarantees.
#[derive(Debug)]
pub struct Lane {
    config: LaneConfig,
    mode: LaneMode,
    /// How far the log was read.
    read_through: Seq,
    /// A `ReadAfter` is outstanding.
    reading: bool,
    /// Deliveries that were handled before this lane was attached, not met yet.
    handled: BTreeSet<(Seq, HandlerName)>,
    /// Up to here former lanes went on without order: retries of these events do not hold those before them.
    unordered_through: Option<Seq>,
    /// The event last attempted for the first time. In an ordered lane all before it was done by then.
    begun: Option<Seq>,
    queue: Queue,
    window: Window,
    retries: Retries,
    /// Whose turn it is when both an event and a retry could start.
    retry_is_next: bool,
    in_flight: usize,
    /// How many attempts may be in flight at present, if nothing else narrows the gate.
    concurrency: usize,
    breaker: Breaker,
    rate: Rate,
    poison: PoisonTracker,
    ledger: Ledger,
    /// Since when there is something delivered that no settlement was issued for.
    settleable_since: Option<Timestamp>,
    /// The time last asked for and not yet come.
    wake_at: Option<Timestamp>,
    /// `Drained` or `Closed` was said.
    ended: bool,
}

impl Lane {
    /// A lane that goes on where the attachment says, and its first commands. `suspicion` is what
    /// [`Lane::suspicion`] said of a predecessor that panicked, the default where none did.
    pub fn new(
        mut config: LaneConfig,
        attachment: Attachment,
        mode: LaneMode,
        suspicion: Suspicion,
        now: Timestamp,
        commands: &mut Vec<LaneCommand>,
    ) -> Self {
        config.window = config.window.max(1);
        config.concurrency = config.concurrency.max(1);
        let suspects_due_by = now + config.attempt_timeout + STRAGGLER_GRACE;
        let mut lane = Self {
            mode: LaneMode::Held { since: now },
            read_through: attachment.settled,
            reading: false,
            handled: attachment.handled,
            unordered_through: attachment.parked_through,
            begun: None,
            queue: Queue::default(),
            window: Window::default(),
            retries: Retries::new(attachment.next_retry_at, attachment.parked_live),
            retry_is_next: false,
            in_flight: 0,
            concurrency: config.initial_concurrency.clamp(1, config.concurrency),
            breaker: Breaker::new(config.breaker_failures, Times::of(&config)),
            rate: Rate::new(config.rate_limit, now),
            poison: PoisonTracker::new(suspicion, suspects_due_by),
            ledger: Ledger::new(attachment.settled, now),
            settleable_since: None,
            wake_at: None,
            ended: false,
            config,
        };
        lane.change_mode(mode, now);
        lane.go_on(now, commands);
        lane
    }

    /// Takes one input and appends what is to be done about it. `random` is a fresh number from `[0, 1)`.
    /// After [`LaneCommand::Drained`] or [`LaneCommand::Closed`] nothing has an effect.
    pub fn handle(&mut self, input: Input, now: Timestamp, random: f64, commands: &mut Vec<LaneCommand>) {
        if self.ended {
            return;
        }
        self.poison.watch(&input);
        match input {
            Input::Events { through, due } => self.take_events(through, due, now),
            Input::Retries { rows, next_retry_at } => {
                let ledger = &self.ledger;
                self.retries
                    .read_ended(rows, next_retry_at, |key| ledger.touches(key));
            }
            Input::RetriesAdded { at } => self.retries.note(at),
            Input::AttemptFinished { key, result } => {
                self.attempt_finished(key, result, now, random, commands);
            }
            Input::SettlementDurable => self.settlement_durable(now, commands),
            Input::LetterWritten { key } => self.letter_written(key, now),
            Input::Tick => self.wake_at = None,
            Input::Mode(mode) => self.change_mode(mode, now),
            Input::Limits(limits) => self.change_limits(limits, now),
            Input::ResetBreaker | Input::ServiceLives => self.breaker.reset(),
        }
        self.go_on(now, commands);
    }

    /// All that was commanded is done. An actor that panics after that does not panic over the end of an attempt.
    pub fn commands_executed(&mut self) {
        self.poison.rest();
    }

    /// What a successor has to know if this lane's actor has just panicked, be it in the middle of
    /// [`Lane::handle`] or while it does what was commanded. Never panics. The first panic names nobody; a
    /// panic of a lane that was told of one before names the delivery that was alone in flight, or that had
    /// just ended; one with nothing in flight names nobody.
    pub fn suspicion(&self) -> Suspicion {
        let live = self.window.in_flight();
        self.poison.after_panic(
            self.window.last(),
            live.chain(self.retries.in_flight()),
            self.retries.in_flight(),
        )
    }

    pub fn snapshot(&self) -> LaneSnapshot {
        LaneSnapshot {
            mode: self.mode,
            settled: self.ledger.durable(),
            read_through: self.read_through,
            in_flight: self.in_flight,
            concurrency: self.parallel(),
            queued: self.queue.len(),
            queued_retries: self.retries.loaded(),
            window_used: self.window_used(),
            next_retry_at: self.retries.next_at(),
            breaker: self.breaker(),
        }
    }

    /// The failure that keeps the breaker open; `None` where it is closed.
    pub fn breaker_cause(&self) -> Option<&BreakerCause> {
        self.breaker.cause()
    }

    /// The next probe is of what waits; where nothing does, of what comes first.
    pub fn breaker(&self) -> BreakerState {
        let Some(since) = self.breaker.open_since() else {
            return BreakerState::Closed;
        };
        let [events, retries] = [Source::Events, Source::Retries]
            .map(|source| self.breaker.next_probe_at(source).unwrap_or(since));
        let due_at = match self.retries.loaded() {
            0 => self.retries.next_at(),
            _ => Some(since),
        };
        let waiting = [
            (!self.queue.is_empty()).then_some(events),
            due_at.map(|at| at.max(retries)),
        ];
        let next_probe_at = waiting.into_iter().flatten().min();
        BreakerState::Open {
            since,
            next_probe_at: next_probe_at.unwrap_or(events.min(retries)),
        }
    }

    fn take_events(&mut self, through: Seq, due: Vec<Due>, now: Timestamp) {
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

    fn change_mode(&mut self, mode: LaneMode, now: Timestamp) {
        match (self.mode, mode) {
            (LaneMode::Draining, _)
            | (LaneMode::Closing { .. }, LaneMode::Running | LaneMode::Held { .. }) => {
                return;
            }
            // A replay may have slipped in whose notice is still on its way: look at the table once.
            (_, LaneMode::Closing { .. }) => self.retries.note(now),
            _ => {}
        }
        self.mode = mode;
    }

    fn change_limits(&mut self, limits: LaneLimits, now: Timestamp) {
        let LaneLimits {
            concurrency,
            ordered,
            rate_limit,
        } = limits;
        self.config.concurrency = concurrency.max(1);
        self.config.ordered = ordered;
        self.concurrency = self.concurrency.min(self.config.concurrency);
        self.rate.change(rate_limit, now);
    }

    fn settlement_durable(&mut self, now: Timestamp, commands: &mut Vec<LaneCommand>) {
        let Some(outstanding) = self.ledger.settled() else {
            return;
        };
        self.drop_settled();
        for (key, next_attempt_at) in outstanding.rows {
            // A straggler that ended in the meantime changes its row again in the next settlement.
            if self.ledger.touches(key) {
                continue;
            }
            match self.retries.get_mut(key).map(|busy| &mut busy.stage) {
                Some(Stage::InFlight | Stage::Writing { .. }) => {}
                Some(stage @ Stage::GivingUpNext(_)) => {
                    let writing = Stage::Writing {
                        settled: self.ledger.durable(),
                    };
                    if let Stage::GivingUpNext(given_up) = std::mem::replace(stage, writing) {
                        commands.push(LaneCommand::ChangeLetter(LetterChange::GivenUp(given_up)));
                    }
                }
                Some(Stage::Settling) | None => self.release(key, next_attempt_at, now),
            }
        }
    }

    fn letter_written(&mut self, key: DeliveryKey, now: Timestamp) {
        if let Some(&Stage::Writing { settled }) = self.retries.get_mut(key).map(|busy| &busy.stage) {
            self.release(key, None, now);
            self.ledger.raise(settled);
        } else if let Some(slot) = self.live_slot(key)
            && let SlotState::GivingUp { settled } = slot.state
        {
            self.window.set_state(key, SlotState::Settled);
            self.ledger.raise(settled);
        }
        self.drop_settled();
    }

    fn drop_settled(&mut self) {
        let poison = &mut self.poison;
        self.window.drop_through(self.ledger.durable(), |due| {
            poison.clear(due.live_key());
        });
    }

    /// What came of a retry is durable.
    fn release(&mut self, key: DeliveryKey, next_attempt_at: Option<Timestamp>, now: Timestamp) {
        self.poison.clear(key);
        self.retries.release(key, next_attempt_at, now);
    }

    fn live_slot(&self, key: DeliveryKey) -> Option<&window::Slot> {
        if key.kind == DeliveryKind::Live {
            self.window.slot(key)
        } else {
            None
        }
    }

    /// How far a settlement of everything done may move the cursor.
    fn settleable(&self) -> Seq {
        self.before(self.window.first_unsettled())
    }

    /// How far the cursor may go without a settlement, once `given_up` has its letter.
    fn settled_with_letter(&self, given_up: Option<DeliveryKey>) -> Seq {
        self.before(self.window.first_not_durable(given_up))
            .max(self.ledger.durable())
    }

    /// The place before this event of the window, or before the first one not started, or the last one read.
    fn before(&self, slot: Option<Seq>) -> Seq {
        slot.or_else(|| self.queue.front().map(|queued| queued.due.event.seq))
            .map_or(self.read_through, Seq::prev)
    }

    /// A parked slot that the cursor has not passed and whose row is being tried again counts twice. That
    /// errs on the safe side and does not last.
    fn window_used(&self) -> usize {
        self.window.len() + self.retries.busy()
    }
}

//! Lanes: how the deliveries of one installation go from the log to delivered or dead.
//!
//! A [`Lane`] decides and has no effects. Inputs tell it what happened, commands say what to do next, and time and
//! randomness are arguments. A delivery goes this way:
//!
//! ```text
//! ReadAfter ─► Events ─► queue ─► Attempt ─┬─ delivered ───────────► Settle (the cursor passes it)
//!                                          ├─ retry ───────────────► Settle (a row is parked) ─┐
//!                                          └─ give up ─► ChangeLetter ─► Settle                │
//!            ReadRetries ─► Retries ─► loaded ─► Attempt … ◄───────────────────────────────────┘
//! ```
//!
//! What a lane guarantees, whatever the order of its inputs:
//! - The cursor (`settled`) only grows. It passes a due event only in the transaction, or after the transaction, that
//!   makes the end of each of its deliveries durable: delivered, parked in the retry table, or a dead letter.
//! - An event that is due to several handlers is one delivery for each; the cursor passes it with the last.
//! - A delivery has at most one attempt in flight. Once its end is durable it is not attempted again.
//! - At most `window` deliveries are started but not durably settled. The other handlers of the event begun last may be
//!   started in addition. A crash can repeat only these deliveries.
//! - The lane holds at most a small multiple of `window` deliveries in memory. It reads no more events once the
//!   payloads of the events not started exceed 8 MiB.
//! - Events are started in the order of the log. With `ordered`, an event is started only when all events before it are
//!   durably delivered or dead. Deliveries that a former lane without order left in flight or parked are exempt: they
//!   are finished in the order in which the lane meets them.
//! - While the breaker is open, at most one of the attempts started since is in flight, and none starts before the
//!   pause of its source is over. Events and retries have pauses of their own, so that retries that fail again and
//!   again do not delay the next event.
//! - No more attempts start than the rate limit allows.
//! - A delivery is not held forever. An open breaker gives it up after the whole schedule, at least ten minutes
//!   (`BREAKER_OPEN`); a held mode gives it up after `max_hold` (`EXPIRED`). A sign of life or a reset closes the
//!   breaker. The breaker gives up no event that was published after the service was well.
//! - A delivery that cannot be attempted is given up at once: an event with a defect (`CORRUPT`), or one that makes the
//!   actor panic (`POISON`).
//! - Giving up takes no more of the log or of the retry table into memory than attempts do.
//! - Every due event ends, if every command is answered and ticks come as asked for.
//!
//! The parts, each with its own state; the lane itself only says what happens in which order (`steps`):
//! - `protocol`: inputs, commands and what they carry.
//! - What is not started: `intake` (how far the log was read) with its `queue`, and `retry_table` (which rows are
//!   loaded, when to look again). `unstarted` is one such delivery.
//! - Whether it starts: `gate` (attempts in flight, concurrency, turns) with `breaker` and `rate`, `order` (what an
//!   ordered lane holds back), `poison` (one at a time after a panic) and `hold` (the mode, and what is given up
//!   without an attempt).
//! - What was started: `progress`, with `window` (live deliveries in log order), `busy_retries` and `ledger` (what is
//!   durable, and what the next settlement writes). `outcome` says how a delivery goes on after an attempt.
//! - What waits for time: `settler` (when a settlement is due) and `alarm` (when the lane is woken).

mod alarm;
mod breaker;
mod busy_retries;
mod gate;
mod hold;
mod intake;
mod ledger;
mod order;
mod outcome;
mod poison;
mod progress;
mod protocol;
mod queue;
mod rate;
mod retry_table;
mod settler;
mod steps;
#[cfg(test)]
mod tests;
mod unstarted;
mod window;

use alarm::Alarm;
use gate::{Gate, Waiting};
use hold::Hold;
use intake::Intake;
use ledger::Durable;
use order::Order;
use poison::PoisonTracker;
pub use poison::Suspicion;
use progress::{Progress, STRAGGLER_GRACE};
pub use protocol::{
    Attachment, BreakerCause, BreakerState, Delivery, DeliveryKey, Due, GivenUp, Input, LaneCommand,
    LaneConfig, LaneLimits, LaneMode, LaneSnapshot, LetterChange, ParkedRetry, RetryRow, Settlement,
};
use retry_table::RetryTable;
use settler::Settler;

use super::{attempt::AttemptResult, retry_schedule::RetrySchedule, timestamp::Timestamp};

/// The deliveries of one installation. See the [module](self) for what it guarantees.
#[derive(Debug)]
pub struct Lane {
    schedule: RetrySchedule,
    intake: Intake,
    retries: RetryTable,
    gate: Gate,
    order: Order,
    poison: PoisonTracker,
    hold: Hold,
    progress: Progress,
    settler: Settler,
    alarm: Alarm,
    /// `Drained` or `Closed` was commanded.
    ended: bool,
}

impl Lane {
    /// A lane that goes on where the attachment says, and its first commands. `suspicion` is the value of
    /// [`Lane::suspicion`] of a predecessor that panicked, the default where none did.
    pub fn new(
        config: LaneConfig,
        attachment: Attachment,
        mode: LaneMode,
        suspicion: Suspicion,
        now: Timestamp,
        commands: &mut Vec<LaneCommand>,
    ) -> Self {
        let suspects_due_by = now + config.attempt_timeout + STRAGGLER_GRACE;
        let progress = Progress::new(&config, attachment.settled);
        let mut lane = Self {
            intake: Intake::new(attachment.settled, attachment.handled, progress.capacity()),
            retries: RetryTable::new(attachment.next_retry_at, attachment.parked_live),
            gate: Gate::new(&config, now),
            order: Order::new(config.ordered, attachment.parked_through),
            poison: PoisonTracker::new(suspicion, suspects_due_by),
            hold: Hold::new(LaneMode::Held { since: now }, config.max_hold),
            progress,
            settler: Settler::new(&config, now),
            alarm: Alarm::default(),
            ended: false,
            schedule: config.schedule,
        };
        lane.change_mode(mode, now);
        lane.go_on(now, commands);
        lane
    }

    /// Takes one input and appends the commands that follow from it. `random` is a fresh number from `[0, 1)`.
    /// After [`LaneCommand::Drained`] or [`LaneCommand::Closed`] nothing has an effect.
    pub fn handle(&mut self, input: Input, now: Timestamp, random: f64, commands: &mut Vec<LaneCommand>) {
        if self.ended {
            return;
        }
        self.poison.input_starts(&input);
        match input {
            Input::Events { through, due } => self.intake.read_ended(through, due, now),
            Input::Retries { rows, next_retry_at } => {
                let progress = &mut self.progress;
                self.retries
                    .read_ended(rows, next_retry_at, |key| progress.knows_row(key));
            }
            Input::RetriesAdded { at } => self.retries.note(at),
            Input::AttemptFinished { key, result } => {
                self.attempt_finished(key, result, now, random, commands);
            }
            Input::SettlementDurable => {
                let (poison, retries) = (&mut self.poison, &mut self.retries);
                self.progress
                    .settlement_durable(|durable| follow(durable, poison, retries, now, commands));
            }
            Input::LetterWritten { key } => {
                let (poison, retries) = (&mut self.poison, &mut self.retries);
                self.progress
                    .letter_durable(key, |durable| follow(durable, poison, retries, now, commands));
            }
            Input::Tick => self.alarm.came(),
            Input::Mode(mode) => self.change_mode(mode, now),
            Input::Limits(limits) => self.change_limits(limits, now),
            Input::ResetBreaker | Input::ServiceLives => self.gate.reset_breaker(),
            Input::Erased(event) => {
                self.intake.erase(&event);
                self.retries.erase(&event);
                self.progress.erase(&event);
            }
        }
        self.go_on(now, commands);
    }

    /// All commands of the last input are executed. If the actor panics after that, the panic is not charged to the
    /// attempt that ended with that input.
    pub fn commands_executed(&mut self) {
        self.poison.input_ended();
    }

    /// What a successor has to know if this lane's actor has just panicked, in the middle of [`Lane::handle`] or
    /// while it executes commands. Never panics. A panic with nothing in flight suspects no delivery, and a first
    /// panic accuses none. A panic of a lane that was told of an earlier one accuses the delivery that was alone in
    /// flight, or whose attempt had just ended.
    pub fn suspicion(&self) -> Suspicion {
        self.poison.after_panic(
            self.progress.last_started(),
            self.progress.in_flight(),
            self.progress.retries_in_flight(),
        )
    }

    /// Whether the payload of the event was erased whose delivery is in flight under this key.
    pub fn is_erased(&self, key: DeliveryKey) -> bool {
        self.progress.is_erased(key)
    }

    pub fn snapshot(&self) -> LaneSnapshot {
        LaneSnapshot {
            mode: self.hold.mode(),
            settled: self.progress.durable(),
            read_through: self.intake.read_through(),
            in_flight: self.gate.in_flight(),
            concurrency: self.gate.parallel(self.is_one_at_a_time()),
            queued: self.intake.queued(),
            queued_retries: self.retries.loaded(),
            window_used: self.progress.used(),
            next_retry_at: self.retries.next_at(),
            breaker: self.breaker(),
        }
    }

    /// The failure that keeps the breaker open; `None` where it is closed.
    pub fn breaker_cause(&self) -> Option<&BreakerCause> {
        self.gate.breaker().cause()
    }

    /// The breaker as shown to admins. Its next probe is of a source in which something waits; where nothing waits,
    /// of the source that may be probed first.
    pub fn breaker(&self) -> BreakerState {
        self.gate.breaker_state(self.waiting())
    }

    fn change_mode(&mut self, mode: LaneMode, now: Timestamp) {
        if self.hold.change(mode) && self.hold.is_closing() {
            // The table may hold a replay of which the lane has not heard yet: look at it once.
            self.retries.note(now);
        }
    }

    fn change_limits(&mut self, limits: LaneLimits, now: Timestamp) {
        self.order.change(limits.ordered);
        self.gate.change_limits(limits, now);
    }

    /// An answer to an attempt that is not in flight is ignored.
    fn attempt_finished(
        &mut self,
        key: DeliveryKey,
        result: AttemptResult,
        now: Timestamp,
        random: f64,
        commands: &mut Vec<LaneCommand>,
    ) {
        let Some(ended) = self.progress.ended(key, result) else {
            return;
        };
        let outcome = ended.outcome(&self.schedule, self.hold.is_closing(), now, random);
        self.gate.attempt_ended(&ended.result, now);
        let unstarted = self.intake.before_next();
        let change = self.progress.attempt_ended(ended, outcome, unstarted);
        commands.extend(change.map(LaneCommand::ChangeLetter));
    }

    fn waiting(&self) -> Waiting {
        Waiting {
            event: self.intake.queued() > 0,
            retry: self.retries.loaded() > 0,
            next_retry_at: self.retries.next_at(),
        }
    }
}

/// Does what follows when a change is durable.
fn follow(
    durable: Durable,
    poison: &mut PoisonTracker,
    retries: &mut RetryTable,
    now: Timestamp,
    commands: &mut Vec<LaneCommand>,
) {
    match durable {
        Durable::Passed(key) => poison.clear(key),
        Durable::Released(released) => {
            poison.clear(released.key);
            retries.released(released, now);
        }
        Durable::LetterIsNext(change) => commands.push(LaneCommand::ChangeLetter(change)),
    }
}

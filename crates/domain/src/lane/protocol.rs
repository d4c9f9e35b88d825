//! What goes into a lane and what comes out of it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    attempt::{AttemptResult, DeadLetterReason, DeliveryKind},
    event::PlatformEvent,
    handler_name::HandlerName,
    id::{DeadLetterId, EventId},
    retry_schedule::RetrySchedule,
    seq::Seq,
    timestamp::Timestamp,
};

/// The limits of a lane.
#[derive(Clone, Debug)]
pub struct LaneConfig {
    /// The most deliveries that are started and not durably settled. A crash repeats at most these.
    pub window: usize,
    /// Attempts in flight, live ones and retries together.
    pub concurrency: usize,
    /// Attempts in flight at the start; each success adds one, up to `concurrency`.
    pub initial_concurrency: usize,
    pub schedule: RetrySchedule,
    /// The longest time that any attempt takes.
    pub attempt_timeout: Duration,
    /// How long delivered events may wait for their settlement, so that one settlement covers many. They do not wait
    /// where rows are to be written, while half of the window is used, or in any other mode than [`LaneMode::Running`].
    pub settle_after: Duration,
    /// How long an attempt may hold a full window before it is parked while in flight.
    pub straggler_after: Duration,
    /// A cursor that only passes events that are not due is written at most once in this time.
    pub lazy_cursor_every: Duration,
    /// Failures in a row, without a sign of life between them, that open the breaker; `None` where there is no
    /// breaker. A delivery is given up once an open breaker has held it for the whole `schedule`, at least 10 min
    /// (less where `max_hold` is less), and two probes more.
    pub breaker_failures: Option<u32>,
    /// How long a delivery may wait for an installation that is held. An event waits from when it was
    /// published, a retry from when it was due, both not longer than the hold lasts.
    pub max_hold: Duration,
    /// One attempt at a time, whatever `concurrency` says, and an event that fails holds those behind it until
    /// it is delivered or dead. Replays go in between.
    pub ordered: bool,
    /// Attempts that may start per second, and also the largest burst; `None` for no limit.
    pub rate_limit: Option<u32>,
}

/// Limits that an admin may change while the lane runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    /// See [`LaneConfig::concurrency`].
    pub concurrency: usize,
    /// See [`LaneConfig::ordered`].
    pub ordered: bool,
    /// See [`LaneConfig::rate_limit`].
    pub rate_limit: Option<u32>,
}

/// The breaker of a lane, as shown to admins.
#[warn(missing_docs)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// Deliveries are attempted as they come.
    #[default]
    Closed,
    /// One delivery at a time goes through; the next not before `next_probe_at`.
    Open {
        /// When it opened, by the engine's time (`Clock::now`).
        since: Timestamp,
        /// When the next attempt may begin, by the engine's time.
        next_probe_at: Timestamp,
    },
}

/// The failure that keeps a breaker open.
#[warn(missing_docs)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BreakerCause {
    /// See [`AttemptResult::error`].
    pub error: Option<String>,
    /// The status code of the service's answer; `None` where there was no answer.
    pub status: Option<u16>,
}

impl BreakerCause {
    pub(super) fn of(result: &AttemptResult) -> Self {
        Self {
            error: result.error.clone(),
            status: result.http_status,
        }
    }
}

/// An event that is due to a handler.
#[derive(Clone, Debug)]
pub struct Due {
    pub event: Arc<PlatformEvent>,
    pub handler: HandlerName,
    /// The longest time that an attempt of it takes; at most that of the lane's configuration.
    pub attempt_timeout: Duration,
}

impl Due {
    /// What names its delivery.
    pub fn live_key(&self) -> DeliveryKey {
        DeliveryKey {
            kind: DeliveryKind::Live,
            event_id: self.event.id,
            handler: self.handler,
        }
    }
}

/// Names one delivery of an installation: it has at most one row in the retry table and at most one attempt
/// in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryKey {
    pub kind: DeliveryKind,
    pub event_id: EventId,
    pub handler: HandlerName,
}

/// What attaching to the journal found durable.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Every due event up to here is delivered, parked or dead.
    pub settled: Seq,
    /// Beyond `settled`: deliveries that have a `LIVE` retry row or a dead letter, or are done, already.
    pub handled: BTreeSet<(Seq, HandlerName)>,
    /// The earliest time in the retry table.
    pub next_retry_at: Option<Timestamp>,
    /// Whether the retry table has `LIVE` rows.
    pub parked_live: bool,
    /// The last event beyond `settled` that has a `LIVE` row.
    pub parked_through: Option<Seq>,
    /// The last position of the log.
    pub head: Seq,
}

/// What a lane may do at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneMode {
    Running,
    /// Paused or disabled: nothing is attempted; what is in flight ends and is settled; what has waited
    /// longer than [`LaneConfig::max_hold`] since then becomes a dead letter.
    Held {
        since: Timestamp,
    },
    /// Uninstalled: what is due up to `head` and everything in the retry table becomes a dead letter.
    /// Only [`LaneMode::Draining`] may follow.
    Closing {
        head: Seq,
    },
    /// Shutdown: nothing is started; what is in flight ends and is settled. Final.
    Draining,
}

/// A row of the retry table.
#[derive(Clone, Debug)]
pub struct RetryRow {
    pub key: DeliveryKey,
    pub event: Arc<PlatformEvent>,
    /// Attempts made so far.
    pub attempts: u32,
    pub next_attempt_at: Timestamp,
    /// The letter being replayed; set where the kind is `REPLAY`.
    pub dead_letter_id: Option<DeadLetterId>,
    pub last_error: Option<String>,
    pub last_status: Option<u16>,
}

/// One attempt to make.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub key: DeliveryKey,
    pub event: Arc<PlatformEvent>,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    pub dead_letter_id: Option<DeadLetterId>,
}

/// A delivery that goes into the retry table, or back into it.
#[derive(Clone, Debug)]
pub struct ParkedRetry {
    pub key: DeliveryKey,
    pub seq: Seq,
    /// Attempts made so far.
    pub attempts: u32,
    pub next_attempt_at: Timestamp,
    pub last_error: Option<String>,
    pub last_status: Option<u16>,
}

/// What is to be made durable in one transaction.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Where the cursor goes; never lower than before.
    pub settled: Seq,
    /// Rows to insert or, where the key is there already, to replace.
    pub park: Vec<ParkedRetry>,
    /// Rows to remove. No key is in both lists.
    pub remove: Vec<DeliveryKey>,
}

/// A delivery that will not be tried again: its letter, the removal of its retry row (there may be none)
/// and the cursor are to be made durable in one transaction.
#[derive(Clone, Debug)]
pub struct GivenUp {
    pub key: DeliveryKey,
    pub event: Arc<PlatformEvent>,
    /// Where the cursor may go in the same transaction. May be lower than the durable cursor by then.
    pub settled: Seq,
    pub reason: DeadLetterReason,
    /// Attempts made, with those that ended in a panic of the actor; 0 when it was never tried.
    pub attempts: u32,
    /// Of the last attempt. If the breaker held the delivery before any attempt, of the failure that kept it open.
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
    /// The letter that was being replayed and is dead again; `None` for a new letter.
    pub dead_letter_id: Option<DeadLetterId>,
}

/// The change of a dead letter when its delivery ends. It goes unchanged from the lane to the journal.
#[derive(Clone, Debug)]
pub enum LetterChange {
    /// Writes a dead letter, or makes the letter `DEAD` again whose replay has failed.
    GivenUp(Box<GivenUp>),
    /// A replay was delivered: the letter becomes `REPLAYED`.
    Replayed {
        key: DeliveryKey,
        dead_letter_id: DeadLetterId,
    },
}

impl LetterChange {
    /// The delivery that ends.
    pub fn key(&self) -> DeliveryKey {
        match self {
            Self::GivenUp(given_up) => given_up.key,
            Self::Replayed { key, .. } => *key,
        }
    }
}

/// What happens to a lane.
#[derive(Clone, Debug)]
pub enum Input {
    /// Answers [`LaneCommand::ReadAfter`]: what is due after the position asked for, up to and including `through`, in
    /// the order of the log, with all handlers of an event in one answer.
    Events {
        through: Seq,
        due: Vec<Due>,
    },
    /// Answers [`LaneCommand::ReadRetries`]: the rows due, earliest first, as of any moment since it was asked,
    /// and the earliest time among the rows not returned.
    Retries {
        rows: Vec<RetryRow>,
        next_retry_at: Option<Timestamp>,
    },
    /// A replay is in the retry table since just now.
    RetriesAdded {
        at: Timestamp,
    },
    /// Answers [`LaneCommand::Attempt`].
    AttemptFinished {
        key: DeliveryKey,
        result: AttemptResult,
    },
    /// Answers [`LaneCommand::Settle`].
    SettlementDurable,
    /// Answers [`LaneCommand::ChangeLetter`]: it is durable.
    LetterWritten {
        key: DeliveryKey,
    },
    /// The time asked for with [`LaneCommand::WakeAt`] has come. Coming early or without need does no harm.
    Tick,
    /// An admin has changed the limits.
    Limits(LaneLimits),
    /// An admin has reset the breaker.
    ResetBreaker,
    /// The payload of this event was erased. Where the lane holds the event, this takes its place: what is not started
    /// is given up, and what is in flight ends without a trace of it.
    Erased(Arc<PlatformEvent>),
    /// The service has answered outside of the lane, in a way that shows that it lives.
    ServiceLives,
    Mode(LaneMode),
}

/// What a lane wants done. Every command but the last three is answered by exactly one input.
#[derive(Clone, Debug)]
pub enum LaneCommand {
    /// At most one is outstanding. It is answered as soon as there is an event after `seq`, due or not,
    /// which may be long after; with at most `limit` due events.
    ReadAfter {
        seq: Seq,
        limit: usize,
    },
    /// At most one is outstanding. It is answered at once, with at most `limit` rows whose time is at or
    /// before `due_by`, earliest first.
    ReadRetries {
        due_by: Timestamp,
        limit: usize,
    },
    Attempt(Delivery),
    /// At most one is outstanding.
    Settle(Settlement),
    /// The letter is changed and the retry row removed in one transaction.
    ChangeLetter(LetterChange),
    /// Send a [`Input::Tick`] at this time; replaces an earlier `WakeAt`.
    WakeAt(Timestamp),
    /// Draining is over: nothing is in flight and everything is durable. The last command of the lane.
    Drained,
    /// Closing is over: nothing is due any more and everything is durable. The last command of the lane.
    Closed,
}

/// A look at a lane, for admins and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneSnapshot {
    pub mode: LaneMode,
    /// The durable cursor.
    pub settled: Seq,
    /// How far the log was read.
    pub read_through: Seq,
    /// Attempts running.
    pub in_flight: usize,
    /// The most attempts that may run at present.
    pub concurrency: usize,
    /// Deliveries of events read and not started.
    pub queued: usize,
    /// Retry rows loaded and not started.
    pub queued_retries: usize,
    /// Deliveries started and not durably settled.
    pub window_used: usize,
    /// The earliest time known in the retry table, apart from rows that are loaded or busy.
    pub next_retry_at: Option<Timestamp>,
    pub breaker: BreakerState,
}

//! types only
use super::{
    attempt::*, event::PlatformEvent, id::*, retry_schedule::RetrySchedule, seq::Seq, timestamp::Timestamp,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
#[derive(Clone, Debug)]
pub struct LaneConfig {
    pub window: usize,
    pub concurrency: usize,
    pub initial_concurrency: usize,
    pub schedule: RetrySchedule,
    pub attempt_timeout: Duration,
    pub straggler_after: Duration,
    pub lazy_cursor_every: Duration,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Ord, PartialOrd, Debug)]
pub struct DeliveryKey {
    pub kind: DeliveryKind,
    pub event_id: EventId,
}
#[derive(Clone, Debug)]
pub struct Attachment {
    pub settled: Seq,
    pub handled: BTreeSet<Seq>,
    pub next_retry_at: Option<Timestamp>,
    pub head: Seq,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneMode {
    Running,
    Held,
    Closing { head: Seq },
    Draining,
}
#[derive(Clone, Debug)]
pub struct RetryRow {
    pub key: DeliveryKey,
    pub event: Arc<PlatformEvent>,
    pub attempts: u32,
    pub next_attempt_at: Timestamp,
    pub dead_letter_id: Option<DeadLetterId>,
    pub last_error: Option<String>,
    pub last_status: Option<u16>,
}
#[derive(Clone, Debug)]
pub struct Delivery {
    pub key: DeliveryKey,
    pub event: Arc<PlatformEvent>,
    pub attempt: u32,
    pub dead_letter_id: Option<DeadLetterId>,
}
#[derive(Clone, Debug)]
pub struct ParkedRetry {
    pub key: DeliveryKey,
    pub seq: Seq,
    pub attempts: u32,
    pub next_attempt_at: Timestamp,
    pub last_error: Option<String>,
    pub last_status: Option<u16>,
}
#[derive(Clone, Debug)]
pub struct Settlement {
    pub settled: Seq,
    pub park: Vec<ParkedRetry>,
    pub remove: Vec<DeliveryKey>,
}
#[derive(Clone, Debug)]
pub struct GivenUp {
    pub key: DeliveryKey,
    pub event: Arc<PlatformEvent>,
    pub settled: Seq,
    pub reason: DeadLetterReason,
    pub attempts: u32,
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
    pub dead_letter_id: Option<DeadLetterId>,
}
#[derive(Clone, Debug)]
pub enum Input {
    Events {
        through: Seq,
        due: Vec<Arc<PlatformEvent>>,
    },
    Retries {
        rows: Vec<RetryRow>,
        next_retry_at: Option<Timestamp>,
    },
    RetriesAdded {
        at: Timestamp,
    },
    AttemptFinished {
        key: DeliveryKey,
        result: AttemptResult,
    },
    SettlementDurable,
    LetterWritten {
        key: DeliveryKey,
    },
    Tick,
    Mode(LaneMode),
}
#[derive(Clone, Debug)]
pub enum Command {
    ReadAfter {
        seq: Seq,
        limit: usize,
    },
    ReadRetries {
        due_by: Timestamp,
        limit: usize,
    },
    Attempt(Delivery),
    Settle(Settlement),
    GiveUp(GivenUp),
    FinishReplay {
        key: DeliveryKey,
        dead_letter_id: DeadLetterId,
    },
    WakeAt(Timestamp),
    Drained,
    Closed,
}
#[derive(Debug)]
pub struct Lane {}
#[derive(Clone, Debug)]
pub struct LaneSnapshot {
    pub settled: Seq,
    pub in_flight: usize,
    pub queued: usize,
    pub mode: LaneMode,
    pub window_used: usize,
}
impl Lane {
    pub fn new(_c: LaneConfig, _a: Attachment, _m: LaneMode, _n: Timestamp, _o: &mut Vec<Command>) -> Lane {
        unimplemented!()
    }
    pub fn handle(&mut self, _i: Input, _n: Timestamp, _r: f64, _o: &mut Vec<Command>) {
        unimplemented!()
    }
    pub fn snapshot(&self) -> LaneSnapshot {
        unimplemented!()
    }
}

//! Everything around a lane, in memory: the log, the retry table and the letters as the journal keeps them,
//! the service that takes the deliveries, and what is on its way between them. Each step can be taken at
//! any time, and each step checks what a lane guarantees.

mod answer;
mod checks;
mod death;
mod journal;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub(super) use answer::{Answer, BROKEN, BUSY, GONE, REFUSED};
pub(in crate::lane) use answer::{FAILED, result};
use rules::{Rules, Source};
use uuid::Uuid;

use crate::{
    attempt::{AttemptOutcome, AttemptResult, DeadLetterReason, DeliveryKind, Verdict},
    event::{NewEvent, PlatformEvent},
    event_key::EventKey,
    handler_name::HandlerName,
    id::{DeadLetterId, EventId, WorkspaceId},
    lane::{
        Attachment, Delivery, DeliveryKey, Due, GivenUp, Input, Lane, LaneCommand, LaneConfig, LaneLimits,
        LaneMode, LetterChange, RetryRow, Settlement, Suspicion,
    },
    seq::Seq,
    timestamp::Timestamp,
};

pub(in crate::lane) fn event(seq: i64) -> Arc<PlatformEvent> {
    Arc::new(event_at(seq, Timestamp::from_millis(0)))
}

fn event_at(seq: i64, occurred_at: Timestamp) -> PlatformEvent {
    let new = NewEvent {
        id: EventId::new(Uuid::from_u128(u128::try_from(seq).unwrap())),
        event_key: EventKey::parse("crm.deal").unwrap(),
        schema_version: None,
        actor: None,
        payload: "{}".into(),
        occurred_at,
        traceparent: None,
        cause: None,
    };
    PlatformEvent::record(WorkspaceId::new(Uuid::nil()), Seq::new(seq), new)
}

/// An event and a handler of it: what is received, or dead.
pub(super) type Subject = (EventId, HandlerName);

pub(super) const fn subject(key: DeliveryKey) -> Subject {
    (key.event_id, key.handler)
}

/// The event, at an extension that handles it as a whole.
pub(super) fn whole(seq: i64) -> Subject {
    (event(seq).id, HandlerName::WHOLE)
}

/// So many different handlers; a single one is the whole extension.
pub(super) fn names(count: usize) -> Vec<HandlerName> {
    ["", "a", "b", "c"][..count]
        .iter()
        .map(|name| HandlerName::intern(name))
        .collect()
}

/// The first handler may take as long as any, the others have half of that.
fn due_to(
    event: &Arc<PlatformEvent>,
    handlers: &[HandlerName],
    longest: Duration,
) -> impl Iterator<Item = Due> {
    handlers.iter().map(move |handler| Due {
        event: event.clone(),
        handler: *handler,
        attempt_timeout: if handler.is_whole() { longest } else { longest / 2 },
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LetterStatus {
    Dead,
    Replaying,
    Replayed,
}

#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) id: DeadLetterId,
    pub(super) event: Arc<PlatformEvent>,
    pub(super) handler: HandlerName,
    pub(super) attempts: u32,
    pub(super) reason: DeadLetterReason,
    pub(super) last_error: Option<String>,
    pub(super) status: LetterStatus,
}

/// A change on its way to the journal: not applied, or applied and not yet told of.
#[derive(Clone, Debug)]
pub(super) struct Change<T> {
    what: T,
    applied: bool,
}

#[derive(Debug)]
struct RetryRead {
    due_by: Timestamp,
    limit: usize,
    snapshot: Option<(Vec<RetryRow>, Option<Timestamp>)>,
}

pub(super) struct World {
    pub(super) lane: Lane,
    config: LaneConfig,
    pub(super) mode: LaneMode,
    pub(super) now: Timestamp,
    inputs: u32,
    // Durable.
    /// With the handlers that each event is due to.
    log: Vec<(Arc<PlatformEvent>, Vec<HandlerName>)>,
    pub(super) cursor: Seq,
    pub(super) rows: BTreeMap<DeliveryKey, RetryRow>,
    pub(super) letters: BTreeMap<Subject, Letter>,
    // At the service.
    pub(super) received: BTreeSet<Subject>,
    /// The attempts made, leaving aside those that a crash allows to be repeated.
    attempts: BTreeSet<(DeliveryKey, u32)>,
    /// The attempts that ended in this life of the lane.
    ended: Vec<Delivery>,
    // On its way.
    pub(super) in_flight: Vec<Delivery>,
    read: Option<(Seq, usize)>,
    retry_read: Option<RetryRead>,
    pub(super) settle: Option<Change<Settlement>>,
    letter_changes: Vec<Change<LetterChange>>,
    notices: Vec<Timestamp>,
    wake: Option<Timestamp>,
    pub(super) drained: bool,
    pub(super) closed: bool,
    rules: Rules,
}

impl World {
    pub(super) fn new(config: LaneConfig) -> Self {
        let now = Timestamp::from_millis(1_000_000);
        let nothing = Attachment {
            settled: Seq::ZERO,
            handled: BTreeSet::new(),
            next_retry_at: None,
            parked_live: false,
            parked_through: None,
            head: Seq::ZERO,
        };
        let mut commands = Vec::new();
        let lane = Lane::new(
            config.clone(),
            nothing,
            LaneMode::Running,
            Suspicion::default(),
            now,
            &mut commands,
        );
        let mut world = Self {
            lane,
            rules: Rules::new(&config),
            config,
            mode: LaneMode::Running,
            now,
            inputs: 0,
            log: Vec::new(),
            cursor: Seq::ZERO,
            rows: BTreeMap::new(),
            letters: BTreeMap::new(),
            received: BTreeSet::new(),
            attempts: BTreeSet::new(),
            ended: Vec::new(),
            in_flight: Vec::new(),
            read: None,
            retry_read: None,
            settle: None,
            letter_changes: Vec::new(),
            notices: Vec::new(),
            wake: None,
            drained: false,
            closed: false,
        };
        world.take(commands);
        world
    }

    pub(super) fn head(&self) -> Seq {
        Seq::new(i64::try_from(self.log.len()).unwrap())
    }

    pub(super) fn due(&self) -> impl Iterator<Item = Due> {
        self.log
            .iter()
            .flat_map(|(event, handlers)| due_to(event, handlers, self.config.attempt_timeout))
    }

    pub(super) fn input(&mut self, input: Input) {
        self.inputs += 1;
        let random = f64::from(self.inputs % 97) / 97.0;
        let mut commands = Vec::new();
        self.lane.handle(input, self.now, random, &mut commands);
        self.take(commands);
        self.lane.commands_executed();
        self.check_bounds();
    }

    pub(super) fn publish(&mut self, due: bool) {
        self.publish_to(usize::from(due));
    }

    /// An event that is due to so many handlers.
    pub(super) fn publish_to(&mut self, handlers: usize) {
        let event = event_at(self.head().next().get(), self.now);
        self.log.push((Arc::new(event), names(handlers)));
    }

    pub(super) fn publish_large(&mut self, bytes: usize) {
        let mut event = event_at(self.head().next().get(), self.now);
        event.payload = " ".repeat(bytes).into();
        self.log.push((Arc::new(event), names(1)));
    }

    /// What the database keeps of a due event cannot be delivered.
    pub(super) fn publish_corrupt(&mut self) {
        let mut event = event_at(self.head().next().get(), self.now);
        event.defect = Some("its payload is not JSON".into());
        self.log.push((Arc::new(event), names(1)));
    }

    /// The payload of the event is erased.
    pub(super) fn erase(&mut self, seq: i64) {
        let logged = &mut self.log[usize::try_from(seq - 1).unwrap()].0;
        let erased = Arc::new(logged.erased());
        *logged = Arc::clone(&erased);
        for row in self.rows.values_mut().filter(|row| row.event.id == erased.id) {
            row.event = Arc::clone(&erased);
        }
        self.input(Input::Erased(erased));
    }

    pub(super) fn limit(&mut self, limits: LaneLimits) {
        self.rules.limits_change(&self.config, &limits);
        self.config.concurrency = limits.concurrency;
        self.config.ordered = limits.ordered;
        self.config.rate_limit = limits.rate_limit;
        self.input(Input::Limits(limits));
    }

    pub(super) fn reset_breaker(&mut self) {
        self.rules.close_breaker();
        self.input(Input::ResetBreaker);
    }

    /// It has answered a test.
    pub(super) fn service_lives(&mut self) {
        self.rules.close_breaker();
        self.input(Input::ServiceLives);
    }

    /// From now on the service takes everything.
    pub(super) fn is_well(&mut self) {
        self.rules.well_since = Some(self.now);
    }

    pub(super) fn set_mode(&mut self, mode: LaneMode) {
        self.mode = mode;
        self.input(Input::Mode(mode));
    }

    /// Answers the outstanding read, with at most `page` due events, if there is anything to answer.
    pub(super) fn answer_read(&mut self, page: usize) -> bool {
        let Some((seq, limit)) = self.read.filter(|(seq, _)| *seq < self.head()) else {
            return false;
        };
        self.read = None;
        let start = usize::try_from(seq.get()).unwrap();
        let (mut due, mut through) = (Vec::new(), seq);
        let mut events = 0;
        for (event, handlers) in &self.log[start..] {
            if !handlers.is_empty() && events == page.clamp(1, limit) {
                break;
            }
            events += usize::from(!handlers.is_empty());
            through = event.seq;
            due.extend(due_to(event, handlers, self.config.attempt_timeout));
        }
        self.input(Input::Events { through, due });
        true
    }

    pub(super) fn answer_retries(&mut self) -> bool {
        self.snapshot_retries();
        let Some((rows, next_retry_at)) = self.retry_read.take().and_then(|read| read.snapshot) else {
            return false;
        };
        self.input(Input::Retries { rows, next_retry_at });
        true
    }

    pub(super) fn finish(&mut self, which: usize, answer: impl Into<Answer>) -> bool {
        if self.in_flight.is_empty() {
            return false;
        }
        let input = self.end_attempt(which, answer.into());
        self.input(input);
        true
    }

    fn end_attempt(&mut self, which: usize, answer: Answer) -> Input {
        let delivery = self.in_flight.remove(which % self.in_flight.len());
        let key = delivery.key;
        if answer.verdict == Verdict::Delivered {
            self.received.insert(subject(key));
        }
        self.rules.attempt_ended(key, &answer, self.now);
        self.ended.push(delivery);
        let result = result(answer);
        Input::AttemptFinished { key, result }
    }

    pub(super) fn finish_seq(&mut self, seq: i64, answer: impl Into<Answer>) {
        let which = self
            .in_flight
            .iter()
            .position(|delivery| delivery.event.seq == Seq::new(seq));
        self.finish(which.expect("the event is in flight"), answer);
    }

    pub(super) fn tell_settled(&mut self) -> bool {
        if self.settle.is_none() {
            return false;
        }
        self.apply_settlement();
        self.settle = None;
        self.input(Input::SettlementDurable);
        true
    }

    pub(super) fn tell_letter(&mut self, which: usize) -> bool {
        if self.letter_changes.is_empty() {
            return false;
        }
        self.apply_letter(which);
        let change = self.letter_changes.remove(which % self.letter_changes.len());
        let key = change.what.key();
        self.input(Input::LetterWritten { key });
        true
    }

    pub(super) fn tell_replay(&mut self) -> bool {
        let Some(at) = self.notices.pop() else {
            return false;
        };
        self.input(Input::RetriesAdded { at });
        true
    }

    /// Time passes; a tick comes if it is time for it.
    pub(super) fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        if self.wake.is_some_and(|at| at <= self.now) {
            self.tick();
        }
    }

    pub(super) fn tick(&mut self) {
        self.wake = None;
        self.input(Input::Tick);
    }

    /// Answers everything there is, once. True if anything happened.
    pub(super) fn step<A: Into<Answer>>(&mut self, mut answer: impl FnMut() -> A) -> bool {
        self.step_each(|_| answer().into())
    }

    fn step_each(&mut self, mut answer: impl FnMut(&Delivery) -> Answer) -> bool {
        let first = self.in_flight.first().map(&mut answer);
        let attempt = first.is_some_and(|answer| self.finish(0, answer));
        let answered = self.tell_settled() | self.tell_letter(0) | self.tell_replay();
        attempt | answered | self.answer_retries() | self.answer_read(usize::MAX)
    }

    /// Time passes until the lane wants to be woken. False if it does not.
    pub(super) fn wake_up(&mut self) -> bool {
        let Some(at) = self.wake else { return false };
        self.now = self.now.max(at);
        self.tick();
        true
    }

    /// Answers everything until the lane waits for time or for events alone. True if anything happened.
    pub(super) fn answer_all<A: Into<Answer>>(&mut self, mut answer: impl FnMut() -> A) -> bool {
        self.answer_each(|_| answer().into())
    }

    /// Likewise, each delivery for itself.
    pub(super) fn answer_each(&mut self, mut answer: impl FnMut(&Delivery) -> Answer) -> bool {
        let mut moved = false;
        for round in 0.. {
            assert!(round < 100_000, "the lane turns in circles: {:?}", self.lane);
            if !self.step_each(&mut answer) {
                break;
            }
            moved = true;
        }
        moved
    }

    /// Goes on, time passing as the lane asks, until nothing is left to do.
    pub(super) fn run_out<A: Into<Answer>>(&mut self, mut answer: impl FnMut() -> A) {
        self.run_out_each(|_| answer().into());
    }

    /// Likewise, each delivery for itself.
    pub(super) fn run_out_each(&mut self, mut answer: impl FnMut(&Delivery) -> Answer) {
        for round in 0.. {
            assert!(round < 10_000, "the lane comes to no end: {:?}", self.lane);
            let moved = self.answer_each(&mut answer);
            if !self.wake_up() && !moved {
                break;
            }
        }
    }
}

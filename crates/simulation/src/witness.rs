//! Watches a simulated world, and reports each broken promise of the engine.
//!
//! A violation is kept as a sentence and does not panic: the engine catches panics.

mod breaker;
mod end;
mod signs;
mod start;

use std::sync::Arc;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::tables::{
    Installed, LetterStatus, Tables,
    effects::{Effects, UNSTORABLE},
    live, replay,
};
use pointsman_domain::{
    attempt::DeliveryKind,
    event::PlatformEvent,
    id::{EventId, InstallationId, WorkspaceId},
    idempotency::{Idempotency, Recorded},
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_router::PublishError;
use pointsman_simulated_clock::Clock;

/// The longest that a publisher waits for its answer: three tries of ten seconds, and some slack.
const PUBLISH_BOUND: Duration = Duration::from_secs(31);

#[derive(Debug, Default)]
pub(super) struct Witness {
    pub(super) violations: Vec<String>,
    published: BTreeMap<EventId, Published>,
    deliveries: BTreeMap<(InstallationId, EventId), Deliveries>,
    lanes: BTreeMap<InstallationId, LaneRecord>,
    /// Failures in a row that open a breaker.
    breaker_failures: u32,
    /// Show whether anything happens at all.
    pub(super) totals: Totals,
}

/// What happened in a world, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub acknowledged: u64,
    pub attempts: u64,
    pub delivered: u64,
    pub repeated: u64,
    pub letters: u64,
    pub crashes: u64,
}

impl Totals {
    pub(super) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.attempts += other.attempts;
        self.delivered += other.delivered;
        self.repeated += other.repeated;
        self.letters += other.letters;
        self.crashes += other.crashes;
    }
}

#[derive(Debug)]
struct Published {
    workspace: WorkspaceId,
    payload: Arc<str>,
    key: Option<Box<str>>,
    fate: PublishFate,
}

/// What the publisher knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PublishFate {
    Unknown,
    Acknowledged,
    /// It was told that the event is not recorded.
    Refused,
}

/// Successful attempts of one delivery that the engine has been told of.
#[derive(Clone, Copy, Debug, Default)]
struct Deliveries {
    live: u32,
    replay: u32,
}

#[derive(Debug, Default)]
struct LaneRecord {
    /// How many lanes have replaced one that did not end by itself: each may repeat a window.
    successions: u32,
    /// A lane has attached and has not ended in order since, as far as is known.
    open: bool,
    /// That lane is of the present process.
    of_this_process: bool,
    /// Its actor, or that of its workspace, was made to panic in this process: what it knew and had not written yet
    /// is gone, and an ordered stop does not bring it back.
    panicked: bool,
    running: usize,
    most_running: usize,
    /// Since when an admin has been told that nothing is delivered.
    held_since: Option<Timestamp>,
    /// The settings that an admin was told are in force; none while they are being changed.
    limits: Option<(Timestamp, LaneBounds)>,
    /// The highest position whose first attempt has started.
    last_first: Seq,
    /// What the service has shown.
    signs: signs::Signs,
    started: BTreeSet<EventId>,
}

/// What an installation is set to.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneBounds {
    /// Attempts at the same time.
    pub(super) at_most: usize,
    /// The events after this position go one after the other, in the order of the log. What was tried before follows
    /// its schedule.
    pub(super) ordered_after: Option<Seq>,
}

impl Witness {
    pub(super) fn new(breaker_failures: u32) -> Self {
        Self {
            breaker_failures,
            ..Self::default()
        }
    }

    pub(super) fn violated(&mut self, what: String) {
        // The first says what happened; the rest follows from it.
        if self.violations.len() < 10 {
            self.violations.push(what);
        }
    }

    pub(super) fn publishes(
        &mut self,
        workspace: WorkspaceId,
        id: EventId,
        payload: &str,
        idempotency: Option<&Idempotency>,
    ) {
        let published = Published {
            workspace,
            payload: payload.into(),
            key: idempotency.map(|idempotency| idempotency.key.clone()),
            fate: PublishFate::Unknown,
        };
        self.published.insert(id, published);
    }

    /// A publisher has its answer.
    pub(super) fn answered(
        &mut self,
        id: EventId,
        answer: &Result<Recorded, PublishError>,
        took: Duration,
        tables: &Tables,
    ) {
        if took > PUBLISH_BOUND {
            self.violated(format!("the publisher of {id} waited for {took:?}"));
        }
        let Some(published) = self.published.get_mut(&id) else {
            return;
        };
        match answer {
            Ok(recorded) => {
                published.fate = match recorded.replayed {
                    true => PublishFate::Refused,
                    false => PublishFate::Acknowledged,
                };
                self.totals.acknowledged += 1;
                let own = recorded.event_ids == [id];
                let all = recorded
                    .event_ids
                    .iter()
                    .all(|id| tables.positions.contains_key(id));
                if own == recorded.replayed || !all || recorded.event_ids.is_empty() {
                    self.violated(format!("the publisher of {id} is told of {recorded:?}"));
                }
            }
            Err(PublishError::StorageUnavailable | PublishError::ShuttingDown) => {}
            Err(PublishError::Refused(_)) if !published.payload.contains(UNSTORABLE) => {
                self.violated(format!("{id} is refused without a reason"));
            }
            Err(_) => published.fate = PublishFate::Refused,
        }
    }

    /// The cursors that a batch may move.
    pub(super) fn before(&self, effects: &Effects, tables: &Tables) -> BTreeMap<InstallationId, Seq> {
        effects
            .settlements
            .iter()
            .filter_map(|settled| {
                let cursor = tables.installations.get(&settled.installation)?.cursor;
                Some((settled.installation, cursor))
            })
            .collect()
    }

    /// A batch was committed.
    pub(super) fn after(
        &mut self,
        before: BTreeMap<InstallationId, Seq>,
        effects: &Effects,
        tables: &Tables,
    ) {
        self.check_places(effects, tables);
        for (id, from) in before {
            if let Some(installed) = tables.installations.get(&id) {
                self.check_passed(installed, from, tables);
            }
        }
        self.check_breaker(effects);
        for settled in &effects.settlements {
            let id = settled.installation;
            if tables
                .installations
                .get(&id)
                .is_none_or(|installed| installed.workspace() != settled.workspace)
            {
                self.violated(format!("{id} settles in another workspace"));
            }
            for key in &settled.remove {
                let is_done = self.is_done(id, key.event_id, tables);
                if key.kind == DeliveryKind::Live && !is_done {
                    self.violated(format!("{id} removes the retry of {} undone", key.event_id));
                }
            }
        }
    }

    fn check_places(&mut self, effects: &Effects, tables: &Tables) {
        for event in &effects.events {
            let at = tables.events(event.workspace_id, event.seq.prev(), event.seq);
            if at.first().is_none_or(|found| found.id != event.id) {
                self.violated(format!("{} leaves a gap before {}", event.id, event.seq.get()));
            }
        }
    }

    /// The cursor passes only what is delivered, parked or dead.
    fn check_passed(&mut self, installed: &Installed, from: Seq, tables: &Tables) {
        let id = installed.id();
        if installed.cursor > tables.head(installed.workspace()) {
            self.violated(format!("the cursor of {id} is beyond the head"));
        }
        for event in tables.due(installed, from, installed.cursor) {
            let parked = tables.retries.contains_key(&(id, live(event.id)));
            if !parked && !self.is_done(id, event.id, tables) {
                let seq = event.seq.get();
                self.violated(format!("the cursor of {id} passes {} ({seq})", event.id));
            }
        }
    }

    /// Delivered, or a dead letter.
    fn is_done(&self, id: InstallationId, event: EventId, tables: &Tables) -> bool {
        let delivered = self
            .deliveries
            .get(&(id, event))
            .is_some_and(|deliveries| deliveries.live > 0);
        delivered || tables.letter(id, event).is_some()
    }

    /// A letter has a retry row exactly while it is `REPLAYING`; a `REPLAYED` one was delivered.
    pub(super) fn check_letters(&mut self, tables: &Tables) {
        let rows: BTreeSet<_> = tables
            .retries
            .values()
            .filter_map(|row| row.dead_letter_id)
            .collect();
        for letter in tables.letters.values() {
            let (id, event) = (letter.id, letter.event.id);
            if rows.contains(&id) != (letter.status == LetterStatus::Replaying) {
                self.violated(format!("the letter {id} of {event} is {:?}", letter.status));
            }
            if letter.status == LetterStatus::Replayed
                && !tables.installations.keys().any(|installation| {
                    self.deliveries
                        .get(&(*installation, event))
                        .is_some_and(|deliveries| deliveries.replay > 0)
                })
            {
                self.violated(format!("{event} is REPLAYED and was not delivered"));
            }
        }
    }

    /// A lane has attached.
    pub(super) fn attached(&mut self, id: InstallationId) {
        let lane = self.lanes.entry(id).or_default();
        if std::mem::replace(&mut lane.open, true) {
            lane.successions += 1;
        }
        lane.of_this_process = true;
        lane.last_first = Seq::ZERO;
    }

    /// The actor of this lane, or of its workspace, is about to panic.
    pub(super) fn panics(&mut self, id: InstallationId) {
        self.lanes.entry(id).or_default().panicked = true;
    }

    /// An attempt starts; returns the kind of its delivery.
    pub(super) fn starts(
        &mut self,
        id: InstallationId,
        event: &PlatformEvent,
        tables: &Tables,
    ) -> DeliveryKind {
        self.totals.attempts += 1;
        let kind = if tables.retries.contains_key(&(id, replay(event.id))) {
            DeliveryKind::Replay
        } else {
            DeliveryKind::Live
        };
        if let Err(what) = self.may_start(id, event, kind, tables) {
            self.violated(format!("{id} is sent {} ({}) {what}", event.id, event.seq.get()));
        }
        let lane = self.lanes.entry(id).or_default();
        lane.running += 1;
        lane.most_running = lane.most_running.max(lane.running);
        kind
    }

    pub(super) fn stopped_running(&mut self, id: InstallationId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.running = lane.running.saturating_sub(1);
        }
    }

    pub(super) fn delivered(&mut self, id: InstallationId, event: EventId, kind: DeliveryKind) {
        let deliveries = self.deliveries.entry((id, event)).or_default();
        match kind {
            DeliveryKind::Live => deliveries.live += 1,
            DeliveryKind::Replay => deliveries.replay += 1,
        }
        self.totals.delivered += 1;
    }

    /// An admin was told that the installation is held, or asks for it not to be held any more.
    pub(super) fn held(&mut self, id: InstallationId, is_held: bool) {
        self.lanes.entry(id).or_default().held_since = is_held.then(|| Clock.now());
    }

    /// An admin was told that these settings are in force, or asks to change them.
    pub(super) fn limits_told(&mut self, id: InstallationId, limits: Option<LaneBounds>) {
        self.lanes.entry(id).or_default().limits = limits.map(|limits| (Clock.now(), limits));
    }

    /// The process has ended. `in_order`: all that it had begun was settled.
    pub(super) fn process_ended(&mut self, in_order: bool) {
        for lane in self.lanes.values_mut() {
            lane.running = 0;
            let panicked = std::mem::take(&mut lane.panicked);
            if std::mem::take(&mut lane.of_this_process) && in_order && !panicked {
                lane.open = false;
            }
        }
        self.totals.crashes += u64::from(!in_order);
    }
}

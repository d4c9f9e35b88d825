//! Runs a lane, and answers its commands.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use pointsman_domain::{
    attempt::{AttemptOutcome, AttemptResult, Verdict},
    lane::{
        Attachment, DeliveryKey, Due, Input, Lane, LaneCommand, LaneConfig, LaneMode, Settlement, Suspicion,
    },
    retry_schedule::RetrySchedule,
    seq::Seq,
    timestamp::Timestamp,
};

use crate::events::NOW;

pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// The value does not matter: it varies the pauses between attempts, and no attempt fails.
const RANDOM: f64 = 0.5;

/// A lane whose deliveries all succeed at once. Its time advances only when it waits for a timer.
pub(super) struct Driver {
    lane: Lane,
    now: Timestamp,
    /// The same buffer in all steps, as in the delivery actor.
    commands: Vec<LaneCommand>,
    in_flight: VecDeque<DeliveryKey>,
    settlement: Option<Settlement>,
    wake_at: Option<Timestamp>,
}

impl Driver {
    /// A lane at the beginning of an empty log. It allows as many attempts in flight as a lane that has run without
    /// failures for a while.
    pub(super) fn start() -> Self {
        let mut commands = Vec::new();
        let running = LaneMode::Running;
        let lane = Lane::new(
            config(),
            nothing(),
            running,
            Suspicion::default(),
            NOW,
            &mut commands,
        );
        Self {
            lane,
            now: NOW,
            commands,
            in_flight: VecDeque::new(),
            settlement: None,
            wake_at: None,
        }
    }

    /// Takes events from the answer to a read to their settlement.
    pub(super) fn deliver(&mut self, through: Seq, due: Vec<Due>) {
        self.step(Input::Events { through, due });
        while let Some(key) = self.in_flight.pop_front() {
            let result = delivered();
            self.step(Input::AttemptFinished { key, result });
        }
        // The lane delays a settlement, to put more into it.
        if let Some(at) = self.wake_at.take() {
            self.now = at;
            self.step(Input::Tick);
        }
        let settlement = self.settlement.take();
        assert_eq!(settlement.map(|settlement| settlement.settled), Some(through));
        self.step(Input::SettlementDurable);
    }

    fn step(&mut self, input: Input) {
        self.lane.handle(input, self.now, RANDOM, &mut self.commands);
        for command in self.commands.drain(..) {
            match command {
                LaneCommand::Attempt(delivery) => self.in_flight.push_back(delivery.key),
                LaneCommand::Settle(settlement) => self.settlement = Some(settlement),
                LaneCommand::WakeAt(at) => self.wake_at = Some(at),
                // The next page is the answer.
                LaneCommand::ReadAfter { .. } => {}
                unexpected => unreachable!("nothing fails here: {unexpected:?}"),
            }
        }
    }
}

/// The defaults of the server for an external service, except for the concurrency at the start.
fn config() -> LaneConfig {
    let pauses = [5, 60, 300, 1_800, 7_200, 18_000, 36_000].map(Duration::from_secs);
    LaneConfig {
        window: 256,
        concurrency: 64,
        initial_concurrency: 64,
        schedule: RetrySchedule::new(pauses.into(), 0.2),
        attempt_timeout: ATTEMPT_TIMEOUT,
        settle_after: Duration::from_millis(50),
        straggler_after: Duration::from_secs(1),
        lazy_cursor_every: Duration::from_secs(1),
        breaker_failures: Some(20),
        max_hold: Duration::from_secs(30 * 24 * 60 * 60),
        ordered: false,
        rate_limit: None,
    }
}

fn nothing() -> Attachment {
    Attachment {
        settled: Seq::ZERO,
        handled: BTreeSet::new(),
        next_retry_at: None,
        parked_live: false,
        parked_through: None,
        head: Seq::ZERO,
    }
}

fn delivered() -> AttemptResult {
    AttemptResult {
        outcome: AttemptOutcome::Delivered,
        verdict: Verdict::Delivered,
        http_status: Some(200),
        duration: Duration::from_millis(1),
        error: None,
        response: None,
        disable: false,
        retry_schedule: None,
    }
}

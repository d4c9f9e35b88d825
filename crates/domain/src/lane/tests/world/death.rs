//! How a lane is lost, and how the next one goes on.

use super::*;

impl World {
    /// The process is lost. What was on its way to the journal arrived or not, and so did the attempts.
    pub(in super::super) fn crash(&mut self, luck: impl FnMut() -> bool) {
        self.rules.forget_panics();
        self.lose_lane(luck, Suspicion::default());
    }

    /// The lane's actor panics with everything that is in flight, and a successor is told.
    pub(in super::super) fn panic(&mut self, luck: impl FnMut() -> bool) {
        let in_flight: Vec<_> = self.in_flight.iter().map(|delivery| delivery.key).collect();
        self.panic_over(in_flight, luck);
    }

    /// The lane's actor panics after the lane has taken the end of an attempt, before any of what the lane
    /// commands is done.
    pub(in super::super) fn panic_at_end(
        &mut self,
        which: usize,
        answer: impl Into<Answer>,
        luck: impl FnMut() -> bool,
    ) {
        if self.in_flight.is_empty() {
            return;
        }
        let input = self.end_attempt(which, answer.into());
        let ended = self.ended.last().map(|delivery| delivery.key);
        let mut commands = Vec::new();
        self.lane.handle(input, self.now, 0.5, &mut commands);
        let started = commands.iter().filter_map(|command| match command {
            LaneCommand::Attempt(delivery) => Some(delivery.key),
            _ => None,
        });
        let in_flight = self.in_flight.iter().map(|delivery| delivery.key);
        let suspects = started.chain(in_flight).chain(ended).collect();
        self.panic_over(suspects, luck);
    }

    fn panic_over(&mut self, suspects: Vec<DeliveryKey>, luck: impl FnMut() -> bool) {
        let seq = |key: &DeliveryKey| self.log.iter().find(|(event, _)| event.id == key.event_id);
        let live = suspects.iter().filter(|key| key.kind == DeliveryKind::Live);
        let through = live.filter_map(seq).map(|(event, _)| event.seq).max();
        self.rules.panicked(&suspects, through);
        let suspicion = self.lane.suspicion();
        self.lose_lane(luck, suspicion);
    }

    fn lose_lane(&mut self, mut luck: impl FnMut() -> bool, suspicion: Suspicion) {
        if luck() {
            self.apply_settlement();
        }
        for which in 0..self.letter_changes.len() {
            if luck() {
                self.apply_letter(which);
            }
        }
        let at_risk = self.at_risk();
        assert!(
            at_risk.len() <= self.window(),
            "a crash repeats more than the window"
        );
        self.attempts.retain(|(key, _)| !at_risk.contains(key));
        for delivery in std::mem::take(&mut self.in_flight) {
            if luck() {
                self.received.insert(subject(delivery.key));
            }
        }
        self.attach_suspecting(LaneMode::Running, suspicion);
    }

    /// A new process goes on from what is durable.
    pub(in super::super) fn attach(&mut self, mode: LaneMode) {
        self.rules.forget_panics();
        self.attach_suspecting(mode, Suspicion::default());
    }

    fn attach_suspecting(&mut self, mode: LaneMode, suspicion: Suspicion) {
        (self.read, self.retry_read, self.settle, self.wake) = (None, None, None, None);
        self.letter_changes.clear();
        self.notices.clear();
        self.ended.clear();
        self.rules.attached();
        (self.drained, self.mode) = (false, mode);
        let attachment = self.attachment();
        let mut commands = Vec::new();
        self.lane = Lane::new(
            self.config.clone(),
            attachment,
            mode,
            suspicion,
            self.now,
            &mut commands,
        );
        self.take(commands);
    }

    fn attachment(&self) -> Attachment {
        let live = |row: &&RetryRow| row.key.kind == DeliveryKind::Live;
        let beyond = |(seq, _): &(Seq, HandlerName)| *seq > self.cursor;
        let parked = self
            .rows
            .values()
            .filter(live)
            .map(|row| (row.event.seq, row.key.handler));
        let dead = self
            .letters
            .values()
            .map(|letter| (letter.event.seq, letter.handler));
        Attachment {
            settled: self.cursor,
            handled: parked.clone().chain(dead).filter(beyond).collect(),
            next_retry_at: self.rows.values().map(|row| row.next_attempt_at).min(),
            parked_live: self.rows.values().any(|row| live(&row)),
            parked_through: parked.filter(beyond).map(|(seq, _)| seq).max(),
            head: self.head(),
        }
    }
}

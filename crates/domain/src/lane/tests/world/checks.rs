//! What the lane commands, and what holds at every moment and at the end.

use super::*;

impl World {
    pub(in super::super) fn take(&mut self, commands: Vec<LaneCommand>) {
        for command in commands {
            assert!(
                !self.closed && !self.drained,
                "{command:?} after the last command"
            );
            match command {
                LaneCommand::ReadAfter { seq, limit } => assert!(self.read.replace((seq, limit)).is_none()),
                LaneCommand::ReadRetries { due_by, limit } => {
                    let read = RetryRead {
                        due_by,
                        limit,
                        snapshot: None,
                    };
                    assert!(self.retry_read.replace(read).is_none());
                }
                LaneCommand::Attempt(delivery) => self.start(delivery),
                LaneCommand::Settle(what) => {
                    assert!(
                        what.settled >= self.lane.snapshot().settled,
                        "the cursor goes back"
                    );
                    let parked = |key: &DeliveryKey| what.park.iter().any(|retry| retry.key == *key);
                    assert!(
                        !what.remove.iter().any(parked),
                        "a row is both written and removed"
                    );
                    assert!(self.settle.replace(Change { what, applied: false }).is_none());
                }
                LaneCommand::ChangeLetter(change) => {
                    match &change {
                        LetterChange::GivenUp(given_up) => self.check_reason(given_up),
                        LetterChange::Replayed { key, dead_letter_id } => {
                            assert_eq!(self.letters[&subject(*key)].id, *dead_letter_id);
                        }
                    }
                    self.change_letter(change);
                }
                LaneCommand::WakeAt(at) => self.wake = Some(at),
                LaneCommand::Drained => {
                    self.assert_nothing_is_on_its_way();
                    self.drained = true;
                }
                LaneCommand::Closed => {
                    self.assert_nothing_is_on_its_way();
                    self.closed = true;
                }
            }
        }
    }

    pub(in super::super) fn change_letter(&mut self, what: LetterChange) {
        self.letter_changes.push(Change { what, applied: false });
    }

    pub(in super::super) fn start(&mut self, delivery: Delivery) {
        let Delivery { key, attempt, .. } = delivery;
        let seq = delivery.event.seq;
        assert_eq!(self.mode, LaneMode::Running, "{key:?} starts");
        assert!(
            self.log[usize::try_from(seq.get()).unwrap() - 1]
                .1
                .contains(&key.handler),
            "{key:?} is not due"
        );
        assert!(delivery.event.defect.is_none(), "{key:?} is corrupt");
        let row = self.rows.get(&key);
        match key.kind {
            DeliveryKind::Live => {
                assert!(!self.letters.contains_key(&subject(key)), "{key:?} is dead");
                assert!(row.is_some() || seq > self.cursor, "{key:?} is settled");
            }
            DeliveryKind::Replay => {
                assert_eq!(self.letters[&subject(key)].status, LetterStatus::Replaying);
                assert!(row.is_some(), "{key:?} has no row");
            }
        }
        assert_eq!(
            attempt,
            row.map_or(0, |row| row.attempts) + 1,
            "{key:?} miscounts"
        );
        assert!(
            self.in_flight.iter().all(|other| other.key != key),
            "{key:?} is in flight twice"
        );
        assert!(
            self.attempts.insert((key, attempt)),
            "{key:?} repeats attempt {attempt} without need"
        );
        let source = if row.is_some() {
            Source::Retries
        } else {
            Source::Events
        };
        self.check_rules(key, source, seq);
        self.rules.attempt_started(key, source, self.now);
        self.in_flight.push(delivery);
        assert!(self.in_flight.len() <= self.config.concurrency);
        assert!(
            self.at_risk().len() <= self.window(),
            "a crash would repeat more than the window"
        );
    }

    /// With room for the other handlers of the event begun last.
    pub(in super::super) fn window(&self) -> usize {
        let most = self.log.iter().map(|(_, handlers)| handlers.len()).max();
        self.config.window + most.unwrap_or(0).saturating_sub(1)
    }

    /// The deliveries that a crash at this moment could repeat.
    pub(in super::super) fn at_risk(&self) -> BTreeSet<DeliveryKey> {
        let ended = self.ended.iter().filter(|delivery| !self.is_durable(delivery));
        ended
            .chain(&self.in_flight)
            .map(|delivery| delivery.key)
            .collect()
    }

    /// Whether what came of the attempt is durable.
    pub(in super::super) fn is_durable(
        &self,
        Delivery {
            key, attempt, event, ..
        }: &Delivery,
    ) -> bool {
        match (key.kind, self.rows.get(key)) {
            (_, Some(row)) => row.attempts >= *attempt,
            (DeliveryKind::Replay, None) => true,
            (DeliveryKind::Live, None) => {
                event.seq <= self.cursor || self.letters.contains_key(&subject(*key))
            }
        }
    }

    pub(in super::super) fn assert_everything_is_settled(&self) {
        assert_eq!(
            self.cursor,
            self.head(),
            "the cursor has not come to the head: {:?}",
            self.lane
        );
        assert!(self.rows.is_empty(), "rows are left: {:?}", self.rows);
        for due in self.due() {
            let subject = subject(due.live_key());
            let dead = self.letters.contains_key(&subject);
            assert!(dead || self.received.contains(&subject), "{subject:?} is lost");
        }
        assert!(
            self.letters
                .values()
                .all(|letter| letter.status != LetterStatus::Replaying)
        );
    }

    pub(in super::super) fn assert_nothing_is_on_its_way(&self) {
        assert!(self.in_flight.is_empty() && self.settle.is_none() && self.letter_changes.is_empty());
        assert!(self.at_risk().is_empty());
        assert_eq!(self.cursor, self.lane.snapshot().settled);
    }

    pub(in super::super) fn check_bounds(&self) {
        let snapshot = self.lane.snapshot();
        let (window, concurrency) = (self.config.window, self.config.concurrency);
        assert!(
            snapshot.settled <= self.cursor,
            "the lane believes in what is not durable"
        );
        assert_eq!(snapshot.in_flight, self.in_flight.len());
        self.check_breaker(snapshot.breaker);
        // A read brings up to a window of events, each for as many handlers as it has.
        let most = self.log.iter().map(|(_, handlers)| handlers.len()).max();
        assert!(
            snapshot.queued < 2 * window * most.unwrap_or(1).max(1),
            "{snapshot:?}"
        );
        assert!(
            snapshot.queued_retries <= concurrency + 4 * window,
            "{snapshot:?}"
        );
        assert!(snapshot.window_used <= 2 * self.window(), "{snapshot:?}");
    }
}

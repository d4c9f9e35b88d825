//! What the journal makes durable, and that it may.

use super::*;

impl World {
    /// Lets the outstanding read of the retry table see the table as it is now; it is answered later.
    pub(in super::super) fn snapshot_retries(&mut self) {
        let Some(read) = self.retry_read.as_mut().filter(|read| read.snapshot.is_none()) else {
            return;
        };
        let mut rows: Vec<_> = self.rows.values().cloned().collect();
        rows.sort_by_key(|row| (row.next_attempt_at, row.key));
        let due = rows
            .iter()
            .take_while(|row| row.next_attempt_at <= read.due_by)
            .count();
        let rest = rows.split_off(due.min(read.limit));
        read.snapshot = Some((rows, rest.first().map(|row| row.next_attempt_at)));
    }

    pub(in super::super) fn apply_settlement(&mut self) {
        let Some(change) = self.settle.as_mut().filter(|change| !change.applied) else {
            return;
        };
        change.applied = true;
        let settlement = change.what.clone();
        for retry in settlement.park {
            let letter = self.letters.get(&subject(retry.key));
            assert!(letter.is_none(), "{:?} is dead and parked", retry.key);
            let row = RetryRow {
                key: retry.key,
                event: self.log[usize::try_from(retry.seq.get()).unwrap() - 1].0.clone(),
                attempts: retry.attempts,
                next_attempt_at: retry.next_attempt_at,
                dead_letter_id: None,
                last_error: retry.last_error,
                last_status: retry.last_status,
            };
            self.rows.insert(retry.key, row);
        }
        for key in settlement.remove {
            assert!(
                self.received.contains(&subject(key)),
                "{key:?} is forgotten without being delivered"
            );
            assert!(self.rows.remove(&key).is_some(), "{key:?} has no row to remove");
        }
        self.move_cursor(settlement.settled);
    }

    pub(in super::super) fn apply_letter(&mut self, which: usize) {
        if self.letter_changes.is_empty() {
            return;
        }
        let which = which % self.letter_changes.len();
        if std::mem::replace(&mut self.letter_changes[which].applied, true) {
            return;
        }
        match self.letter_changes[which].what.clone() {
            LetterChange::GivenUp(given_up) => self.write_letter(*given_up),
            LetterChange::Replayed { key, .. } => {
                assert!(self.received.contains(&subject(key)), "{key:?} was not delivered");
                assert!(self.rows.remove(&key).is_some(), "{key:?} has no row to remove");
                let letter = self
                    .letters
                    .get_mut(&subject(key))
                    .expect("only letters are replayed");
                assert_eq!(letter.status, LetterStatus::Replaying);
                letter.status = LetterStatus::Replayed;
            }
        }
    }

    /// An admin replays one of the dead letters; the lane is told later.
    pub(in super::super) fn replay(&mut self, which: usize) {
        let mut dead: Vec<_> = self
            .letters
            .values_mut()
            .filter(|letter| letter.status == LetterStatus::Dead)
            .collect();
        if dead.is_empty() {
            return;
        }
        let letter = dead.swap_remove(which % dead.len());
        letter.status = LetterStatus::Replaying;
        let key = DeliveryKey {
            kind: DeliveryKind::Replay,
            event_id: letter.event.id,
            handler: letter.handler,
        };
        let row = RetryRow {
            key,
            event: letter.event.clone(),
            attempts: letter.attempts,
            next_attempt_at: self.now,
            dead_letter_id: Some(letter.id),
            last_error: None,
            last_status: None,
        };
        assert!(self.rows.insert(key, row).is_none());
        self.notices.push(self.now);
    }

    pub(in super::super) fn write_letter(&mut self, given_up: GivenUp) {
        let GivenUp {
            key,
            event,
            settled,
            reason,
            attempts,
            dead_letter_id,
            last_error,
            ..
        } = given_up;
        let made = self.rows.remove(&key).map_or(0, |row| row.attempts);
        let counted = match reason {
            // An attempt that ended while the lane was closing is given up, too.
            DeadLetterReason::Uninstalled => attempts == made || attempts == made + 1,
            DeadLetterReason::BreakerOpen
            | DeadLetterReason::Expired
            | DeadLetterReason::Corrupt
            | DeadLetterReason::Erased => attempts == made,
            DeadLetterReason::Poison => attempts >= made + 3,
            _ => attempts == made + 1,
        };
        assert!(
            counted,
            "{key:?} miscounts: {attempts} attempts as {reason:?} after {made}"
        );
        let id = dead_letter_id.unwrap_or_else(|| {
            DeadLetterId::new(Uuid::from_u128(
                event.id.uuid().as_u128() * 8 + handler_number(key),
            ))
        });
        let status = LetterStatus::Dead;
        let former = self.letters.insert(
            subject(key),
            Letter {
                id,
                handler: key.handler,
                event,
                attempts,
                reason,
                last_error,
                status,
            },
        );
        match former {
            Some(former) => {
                assert_eq!(
                    (key.kind, former.id),
                    (DeliveryKind::Replay, id),
                    "{key:?} has two letters"
                );
                assert_eq!(former.status, LetterStatus::Replaying);
            }
            None => assert_eq!(key.kind, DeliveryKind::Live),
        }
        self.move_cursor(settled);
    }

    pub(in super::super) fn move_cursor(&mut self, settled: Seq) {
        let passed = self.due().filter(|due| {
            let seq = due.event.seq;
            seq > self.cursor && seq <= settled && !self.letters.contains_key(&subject(due.live_key()))
        });
        for due in passed {
            let live = due.live_key();
            let handled = self.received.contains(&subject(live)) || self.rows.contains_key(&live);
            assert!(handled, "the cursor goes to {settled} and passes {live:?}");
        }
        self.cursor = self.cursor.max(settled);
    }
}

fn handler_number(key: DeliveryKey) -> u128 {
    let place = names(4).iter().position(|name| *name == key.handler);
    u128::try_from(place.expect("it is one of the names")).expect("it is small")
}

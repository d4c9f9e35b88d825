//! What the result of an attempt means for its delivery.

use std::sync::Arc;

use super::{
    AttemptResult, DeliveryKey, GivenUp, Lane, LaneCommand, LaneMode, LetterChange, ParkedRetry, SlotState,
    Stage, retries::Busy,
};
use crate::{
    attempt::{DeadLetterReason, DeliveryKind, Verdict},
    event::PlatformEvent,
    id::DeadLetterId,
    timestamp::Timestamp,
};

/// What becomes of a delivery after an attempt.
enum AttemptEnd {
    Delivered,
    Parked(Timestamp),
    GivenUp(DeadLetterReason),
}

/// An attempt that has ended.
struct Ended {
    key: DeliveryKey,
    event: Arc<PlatformEvent>,
    /// Its number, and so the attempts made.
    attempt: u32,
    dead_letter_id: Option<DeadLetterId>,
    result: AttemptResult,
}

impl Lane {
    /// An answer to an attempt that is not in flight is ignored.
    pub(super) fn attempt_finished(
        &mut self,
        key: DeliveryKey,
        result: AttemptResult,
        now: Timestamp,
        random: f64,
        commands: &mut Vec<LaneCommand>,
    ) {
        if let Some(Busy {
            event,
            attempt,
            dead_letter_id,
            stage: Stage::InFlight,
            ..
        }) = self.retries.get_mut(key)
        {
            let ended = Ended {
                key,
                event: event.clone(),
                attempt: *attempt,
                dead_letter_id: *dead_letter_id,
                result,
            };
            let end = self.ends_as(&ended, now, random);
            self.attempt_ended(&ended.result, now);
            self.retry_ended(ended, end, commands);
        } else if let Some(slot) = self.live_slot(key)
            && matches!(slot.state, SlotState::InFlight { .. })
        {
            let ended = Ended {
                key,
                event: slot.due.event.clone(),
                attempt: 1,
                dead_letter_id: None,
                result,
            };
            let end = self.ends_as(&ended, now, random);
            self.attempt_ended(&ended.result, now);
            self.first_attempt_ended(ended, end, commands);
        }
    }

    fn ends_as(&self, ended: &Ended, now: Timestamp, random: f64) -> AttemptEnd {
        let retry_after = match ended.result.verdict {
            Verdict::Delivered => return AttemptEnd::Delivered,
            Verdict::GiveUp(reason) => return AttemptEnd::GivenUp(reason),
            // A replay is one attempt.
            Verdict::Retry { .. } if ended.key.kind == DeliveryKind::Replay => {
                return AttemptEnd::GivenUp(DeadLetterReason::RetriesExhausted);
            }
            Verdict::Retry { retry_after } => retry_after,
        };
        let own = ended.result.retry_schedule.as_deref();
        let schedule = own.unwrap_or(&self.config.schedule);
        match schedule.delay_after(ended.attempt, random, retry_after) {
            None => AttemptEnd::GivenUp(DeadLetterReason::RetriesExhausted),
            Some(_) if matches!(self.mode, LaneMode::Closing { .. }) => {
                AttemptEnd::GivenUp(DeadLetterReason::Uninstalled)
            }
            Some(delay) => AttemptEnd::Parked(now + delay),
        }
    }

    /// A refusal counts for no breaker, as the service lives, and lets no more attempts run at a time, as it took
    /// nothing.
    fn attempt_ended(&mut self, result: &AttemptResult, now: Timestamp) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if result.verdict == Verdict::Delivered {
            self.concurrency = (self.concurrency + 1).min(self.config.concurrency);
        }
        if result.shows_life() {
            self.breaker.reset();
        } else if self.breaker.failed(result, now) {
            // A service that comes back is met as gently as one that nobody has met yet.
            self.concurrency = self.config.initial_concurrency.clamp(1, self.config.concurrency);
        }
    }

    fn first_attempt_ended(&mut self, ended: Ended, end: AttemptEnd, commands: &mut Vec<LaneCommand>) {
        let key = ended.key;
        match end {
            AttemptEnd::Delivered => self.set_slot(key, SlotState::Settled),
            AttemptEnd::Parked(at) => {
                self.set_slot(key, SlotState::Parked);
                self.ledger.park(ended.parked(at));
            }
            AttemptEnd::GivenUp(reason) => self.give_up_slot(ended, reason, commands),
        }
    }

    fn retry_ended(&mut self, ended: Ended, end: AttemptEnd, commands: &mut Vec<LaneCommand>) {
        let key = ended.key;
        match end {
            AttemptEnd::Delivered => match ended.dead_letter_id {
                Some(dead_letter_id) => {
                    self.set_stage(
                        key,
                        Stage::Writing {
                            settled: self.ledger.durable(),
                        },
                    );
                    commands.push(LaneCommand::ChangeLetter(LetterChange::Replayed {
                        key,
                        dead_letter_id,
                    }));
                }
                None if self.ledger.take_back(key) => {
                    self.retries.forget(key);
                    self.set_slot(key, SlotState::Settled);
                }
                None => {
                    self.set_stage(key, Stage::Settling);
                    self.ledger.remove(key);
                }
            },
            AttemptEnd::Parked(at) => {
                self.set_stage(key, Stage::Settling);
                self.ledger.park(ended.parked(at));
            }
            AttemptEnd::GivenUp(reason) => {
                let given_up = ended.given_up(reason, self.settled_with_letter(None));
                // The letter removes the row; a settlement that comes after it must not write it anew.
                if self.ledger.touches(key) {
                    self.set_stage(key, Stage::GivingUpNext(Box::new(given_up)));
                } else {
                    self.set_stage(
                        key,
                        Stage::Writing {
                            settled: given_up.settled,
                        },
                    );
                    commands.push(LaneCommand::ChangeLetter(LetterChange::GivenUp(Box::new(
                        given_up,
                    ))));
                }
            }
        }
    }

    fn give_up_slot(&mut self, ended: Ended, reason: DeadLetterReason, commands: &mut Vec<LaneCommand>) {
        let settled = self.settled_with_letter(Some(ended.key));
        self.set_slot(ended.key, SlotState::GivingUp { settled });
        let given_up = Box::new(ended.given_up(reason, settled));
        commands.push(LaneCommand::ChangeLetter(LetterChange::GivenUp(given_up)));
    }

    fn set_slot(&mut self, key: DeliveryKey, state: SlotState) {
        if key.kind == DeliveryKind::Live {
            self.window.set_state(key, state);
        }
    }

    fn set_stage(&mut self, key: DeliveryKey, stage: Stage) {
        if let Some(busy) = self.retries.get_mut(key) {
            busy.stage = stage;
        }
    }
}

impl Ended {
    fn parked(self, next_attempt_at: Timestamp) -> ParkedRetry {
        ParkedRetry {
            key: self.key,
            seq: self.event.seq,
            attempts: self.attempt,
            next_attempt_at,
            last_error: self.result.error,
            last_status: self.result.http_status,
        }
    }

    fn given_up(self, reason: DeadLetterReason, settled: super::Seq) -> GivenUp {
        GivenUp {
            key: self.key,
            event: self.event,
            settled,
            reason,
            attempts: self.attempt,
            last_status: self.result.http_status,
            last_error: self.result.error,
            dead_letter_id: self.dead_letter_id,
        }
    }
}

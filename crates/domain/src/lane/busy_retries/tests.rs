use super::*;
use crate::{
    attempt::{DeadLetterReason, Verdict},
    lane::tests::{FAILED, event, live_key, result},
};

const AT: Timestamp = Timestamp::from_millis(5_000);
const GIVEN_UP: Outcome = Outcome::GivenUp(DeadLetterReason::RetriesExhausted);

/// The second attempt of event 1 is in flight.
fn busy() -> BusyRetries {
    let mut busy = BusyRetries::default();
    busy.begin(live_key(1), event(1), 2, None);
    busy
}

fn ledger() -> Ledger {
    Ledger::new(Seq::new(7))
}

fn end(busy: &mut BusyRetries, outcome: Outcome, ledger: &mut Ledger) -> AfterAttempt {
    let ended = busy.ended(live_key(1), result(FAILED)).expect("it is in flight");
    busy.attempt_ended(ended, outcome, Seq::new(9), ledger)
}

fn released(next_attempt_at: Option<Timestamp>) -> Released {
    Released {
        key: live_key(1),
        next_attempt_at,
        was_seen: false,
    }
}

#[test]
fn a_failure_is_busy_until_its_row_is_durable() {
    let (mut busy, mut ledger) = (busy(), ledger());
    assert!(matches!(
        end(&mut busy, Outcome::Parked(AT), &mut ledger),
        AfterAttempt::Settles
    ));
    assert!(ledger.touches(live_key(1)));
    assert_eq!((busy.in_flight().count(), busy.len()), (0, 1));
    let durable = busy.row_durable(live_key(1), Some(AT), Seq::new(9));
    assert!(matches!(durable, Some(Durable::Released(it)) if it == released(Some(AT))));
    assert_eq!(busy.len(), 0);
}

#[test]
fn a_row_that_becomes_durable_during_the_attempt_does_not_end_it() {
    let mut busy = busy();
    assert!(busy.row_durable(live_key(1), Some(AT), Seq::new(9)).is_none());
    assert_eq!(busy.in_flight().count(), 1);
}

#[test]
fn a_straggler_delivered_before_its_row_is_written_has_no_row() {
    let (mut busy, mut ledger) = (busy(), ledger());
    let ended = busy.ended(live_key(1), result(Verdict::Delivered)).unwrap();
    ledger.park(ended.into_parked(AT));
    let after = end(&mut busy, Outcome::Delivered, &mut ledger);
    assert!(matches!(after, AfterAttempt::DeliveredWithoutRow));
    assert!(!ledger.has_rows());
    assert_eq!(busy.len(), 0);
}

#[test]
fn the_letter_waits_for_a_settlement_that_writes_the_row_it_removes() {
    let (mut busy, mut ledger) = (busy(), ledger());
    ledger.park(busy.ended(live_key(1), result(FAILED)).unwrap().into_parked(AT));
    ledger.issue(Seq::new(8));
    assert!(matches!(
        end(&mut busy, GIVEN_UP, &mut ledger),
        AfterAttempt::Settles
    ));
    assert!(
        busy.letter_written(live_key(1)).is_none(),
        "it is not being written"
    );
    let durable = busy.row_durable(live_key(1), Some(AT), Seq::new(8));
    assert!(matches!(
        durable,
        Some(Durable::LetterIsNext(LetterChange::GivenUp(_)))
    ));
    let written = busy.letter_written(live_key(1));
    assert_eq!(written, Some((released(None), Seq::new(8))));
}

#[test]
fn without_a_settlement_on_its_way_the_letter_is_written_at_once_with_the_cursor() {
    let (mut busy, mut ledger) = (busy(), ledger());
    let after = end(&mut busy, GIVEN_UP, &mut ledger);
    assert!(matches!(
        after,
        AfterAttempt::ChangesLetter(LetterChange::GivenUp(_))
    ));
    assert_eq!(
        busy.letter_written(live_key(1)),
        Some((released(None), Seq::new(9)))
    );
}

#[test]
fn a_row_met_while_its_delivery_is_busy_is_remembered() {
    let (mut busy, mut ledger) = (busy(), ledger());
    assert!(!busy.see_row(live_key(2)), "it is not busy");
    assert!(busy.see_row(live_key(1)));
    end(&mut busy, GIVEN_UP, &mut ledger);
    assert!(
        busy.letter_written(live_key(1))
            .is_some_and(|(released, _)| released.was_seen)
    );
}

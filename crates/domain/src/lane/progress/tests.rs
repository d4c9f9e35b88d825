use super::*;
use crate::{
    attempt::Verdict,
    lane::tests::{FAILED, config, due, live_key, result, row},
};

const NOW: Timestamp = Timestamp::from_millis(0);
const SECOND: Duration = Duration::from_secs(1);
/// The last event before the first one that is not started.
const UNSTARTED: Seq = Seq::new(9);

/// The first attempts of so many events are in flight, in a window of 4.
fn started(events: i64) -> Progress {
    let mut progress = Progress::new(&config(4, 4), Seq::ZERO);
    for seq in 1..=events {
        progress.begin(Unstarted::Event(due(seq)), NOW);
    }
    progress
}

fn end(progress: &mut Progress, seq: i64, outcome: Outcome) -> Option<LetterChange> {
    let ended = progress.ended(live_key(seq), result(FAILED));
    progress.attempt_ended(ended.expect("it is in flight"), outcome, UNSTARTED)
}

fn settled(progress: &mut Progress) -> Vec<Durable> {
    let mut all = Vec::new();
    progress.settlement_durable(|durable| all.push(durable));
    all
}

#[test]
fn a_settlement_moves_the_cursor_up_to_the_first_delivery_that_is_not_done() {
    let mut progress = started(3);
    end(&mut progress, 1, Outcome::Delivered);
    end(&mut progress, 3, Outcome::Delivered);
    assert_eq!(progress.settleable(UNSTARTED), Seq::new(1));
    end(&mut progress, 2, Outcome::Parked(NOW));
    assert_eq!(progress.settleable(UNSTARTED), UNSTARTED);
    assert_eq!(progress.durable(), Seq::ZERO, "nothing is durable yet");
}

#[test]
fn room_is_made_by_what_is_durable_and_by_nothing_else() {
    let mut progress = started(4);
    (1..=4).for_each(|seq| drop(end(&mut progress, seq, Outcome::Delivered)));
    assert!(!progress.has_room(false));
    progress.issue_settlement(Seq::new(4));
    assert_eq!(settled(&mut progress).len(), 4, "the cursor has passed them");
    assert!(progress.has_room(true));
    assert!(progress.is_at_rest(Seq::new(4)) && !progress.is_at_rest(UNSTARTED));
}

#[test]
fn a_letter_is_written_with_the_cursor_over_its_event_but_not_over_a_parked_one() {
    let mut progress = started(3);
    end(&mut progress, 1, Outcome::Delivered);
    let gone = Outcome::GivenUp(DeadLetterReason::Gone);
    let Some(LetterChange::GivenUp(given_up)) = end(&mut progress, 2, gone) else {
        unreachable!("it is given up")
    };
    assert_eq!(given_up.settled, Seq::new(2), "3 is in flight");
    end(&mut progress, 3, Outcome::Parked(NOW));
    let given_up = progress.give_up(Unstarted::Retry(row(7)), DeadLetterReason::Gone, UNSTARTED);
    assert_eq!(given_up.settled, Seq::new(1), "the letter of 2 is not written");
    progress.letter_durable(live_key(2), drop);
    assert_eq!(progress.durable(), Seq::new(2));
}

#[test]
fn a_straggler_is_parked_while_it_is_in_flight() {
    let mut progress = started(2);
    progress.park_stragglers(NOW + 5 * SECOND);
    assert!(
        !progress.has_busy_retries(),
        "it keeps nothing from being settled"
    );
    end(&mut progress, 2, Outcome::Delivered);
    assert_eq!(progress.straggles_at(), Some(NOW + SECOND));
    progress.park_stragglers(NOW + SECOND / 2);
    assert!(!progress.has_busy_retries(), "it is not late");
    progress.park_stragglers(NOW + SECOND);
    assert_eq!(progress.settleable(UNSTARTED), UNSTARTED);
    assert_eq!(progress.in_flight().collect::<Vec<_>>(), [live_key(1)]);
    let parked = progress.issue_settlement(UNSTARTED).park;
    let due_at = NOW + 15 * SECOND + STRAGGLER_GRACE;
    assert_eq!((parked[0].attempts, parked[0].next_attempt_at), (0, due_at));
}

#[test]
fn an_attempt_that_is_not_in_flight_does_not_end() {
    let mut progress = started(1);
    let delivered = || result(Verdict::Delivered);
    assert!(progress.ended(live_key(2), delivered()).is_none());
    end(&mut progress, 1, Outcome::Delivered);
    assert!(progress.ended(live_key(1), delivered()).is_none());
}

#[test]
fn a_row_that_is_busy_or_about_to_change_is_known() {
    let mut progress = started(1);
    progress.begin(Unstarted::Retry(row(7)), NOW);
    end(&mut progress, 1, Outcome::Parked(NOW));
    assert_eq!(progress.knows_row(live_key(7)), Known::Busy);
    assert_eq!(progress.knows_row(live_key(1)), Known::Changing);
    assert_eq!(progress.knows_row(live_key(2)), Known::Nothing);
    assert_eq!(progress.known_rows(), 2);
}

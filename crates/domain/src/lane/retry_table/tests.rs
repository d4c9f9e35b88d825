use super::{
    super::tests::{live_key, row},
    *,
};

const NOW: Timestamp = Timestamp::from_millis(0);

/// A table with a read outstanding.
fn reading() -> RetryTable {
    let mut table = RetryTable::new(Some(NOW), true);
    assert!(table.read(NOW, 9).is_some());
    table
}

fn nothing(_: DeliveryKey) -> Known {
    Known::Nothing
}

#[test]
fn it_is_read_when_a_row_is_due_and_nothing_is_loaded_or_on_its_way() {
    let mut table = RetryTable::new(Some(NOW), true);
    let before = Timestamp::from_millis(-1);
    assert!(table.read(before, 9).is_none(), "nothing is due");
    assert!(table.read(NOW, 9).is_some());
    table.note(NOW);
    assert!(table.read(NOW, 9).is_none(), "a read is outstanding");
    table.read_ended(vec![row(1)], None, nothing);
    assert!(table.read(NOW, 9).is_none(), "a row is loaded");
    table.take_loaded(|_| true);
    assert!(table.read(NOW, 9).is_some());
}

#[test]
fn rows_that_are_busy_or_about_to_change_are_not_loaded() {
    let mut table = reading();
    let known = |key| match key {
        key if key == live_key(1) => Known::Busy,
        key if key == live_key(2) => Known::Changing,
        _ => Known::Nothing,
    };
    table.read_ended(vec![row(1), row(2), row(3)], None, known);
    let loaded: Vec<_> = table.rows().map(|row| row.key).collect();
    assert_eq!(loaded, [live_key(3)]);
}

#[test]
fn an_answer_does_not_bring_back_a_row_released_since_it_was_asked_for() {
    let replay = DeliveryKey {
        kind: DeliveryKind::Replay,
        ..live_key(2)
    };
    let mut table = reading();
    for key in [live_key(1), replay] {
        let released = Released {
            key,
            next_attempt_at: None,
            was_seen: false,
        };
        table.released(released, NOW);
    }
    table.read_ended(
        vec![
            row(1),
            RetryRow {
                key: replay,
                ..row(2)
            },
        ],
        None,
        nothing,
    );
    assert_eq!(table.loaded(), 0);
    assert_eq!(
        table.next_at(),
        Some(NOW),
        "the replay may be a new one: look again"
    );
}

#[test]
fn in_order_a_row_waits_for_rows_of_earlier_events() {
    let rows = vec![row(3), row(2), row(1)];
    let mut table = reading();
    table.read_ended(rows, None, nothing);
    let taken = table.take_loaded_in_order(|row| row.key != live_key(1));
    assert_eq!(taken.map(|row| row.key), Some(live_key(2)));
    let taken = table.take_loaded(|_| true);
    assert_eq!(taken.map(|row| row.key), Some(live_key(3)));
}

#[test]
fn live_rows_are_known_of_until_a_read_finds_none() {
    let mut table = reading();
    assert!(table.has_live(), "the answer may hold one");
    table.read_ended(vec![], None, nothing);
    assert!(!table.has_live());
    let released = Released {
        key: live_key(1),
        next_attempt_at: Some(NOW),
        was_seen: false,
    };
    table.released(released, NOW);
    assert!(table.has_live());
}

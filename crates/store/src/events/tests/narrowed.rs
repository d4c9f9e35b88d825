//! Searches that need not look at the whole log.

use super::*;
use pointsman_domain::attempt::AttemptOutcome;

#[tokio::test]
async fn events_of_a_time_are_found_at_its_positions_also_where_the_clock_went_back() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    // The event of position n happened at n seconds.
    db.events(ours, 50_000, "a.b").await;
    // A minute back.
    for seq in [20_010, 20_020] {
        db.move_event(ours, seq, (seq - 60) * 1000).await;
    }
    let filter = |from: i64, to: i64| EventFilter {
        from: Some(Timestamp::from_millis(from * 1000)),
        to: Some(Timestamp::from_millis(to * 1000)),
        ..EventFilter::default()
    };
    for (from, to, expected) in [
        (19_949, 19_952, vec![19_949, 19_950, 19_951, 20_010]),
        (20_009, 20_012, vec![20_009, 20_011]),
        (0, 3, vec![1, 2]),
        (49_999, 60_000, vec![49_999, 50_000]),
        (60_000, 70_000, vec![]),
        (30, 20, vec![]),
    ] {
        let filter = filter(from, to);
        let (found, pages) = all_pages(&db, ours, &filter, after(None, 9)).await;
        assert_eq!((found, pages), (expected.clone(), 1), "{from} to {to}");
        let (found, pages) = all_pages(&db, ours, &filter, before(None, 9, MIB)).await;
        assert_eq!(
            (found, pages),
            (expected.into_iter().rev().collect(), 1),
            "{from} to {to}"
        );
    }
    let only_from = EventFilter {
        to: None,
        ..filter(100, 0)
    };
    let read = listed(&db, ours, &only_from, after(None, 1)).await;
    assert_eq!((seqs(&read), read.next), (vec![100], Some(Seq::new(100))));
}

#[tokio::test]
async fn what_an_event_has_caused_is_listed_by_its_cause_and_by_its_chain() {
    let db = Fixture::new().await;
    let (ours, theirs) = (db.workspace(), db.workspace());
    let mut ids = Vec::new();
    for seq in 1..=4 {
        ids.push(db.event(ours, seq, "a.b").await);
    }
    db.cause(ours, 3, ids[1], ids[1]).await;
    db.cause(ours, 4, ids[2], ids[1]).await;
    db.event(theirs, 1, "a.b").await;
    db.cause(theirs, 1, ids[1], ids[1]).await;
    let caused_by = |id| EventFilter {
        causation_id: Some(id),
        ..EventFilter::default()
    };
    let of_chain = |id| EventFilter {
        correlation_id: Some(id),
        ..EventFilter::default()
    };
    for (filter, expected) in [
        (caused_by(ids[1]), vec![3]),
        (caused_by(ids[2]), vec![4]),
        (caused_by(ids[0]), vec![]),
        (of_chain(ids[1]), vec![2, 3, 4]),
        (of_chain(ids[0]), vec![1]),
        (of_chain(ids[3]), vec![]),
    ] {
        assert_eq!(
            seqs(&listed(&db, ours, &filter, after(None, 9)).await),
            expected,
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn a_log_without_its_oldest_events_begins_with_those_that_are_left() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    db.events(ours, 100_000, "a.b").await;
    db.prune(ours, 99_990).await;
    let filter = EventFilter {
        actor: Some("actor-99995".to_owned()),
        from: Some(Timestamp::from_millis(0)),
        ..EventFilter::default()
    };
    for request in [before(None, 9, MIB), after(None, 9)] {
        let (found, pages) = all_pages(&db, ours, &filter, request).await;
        assert_eq!((found, pages), (vec![99_995], 1));
    }
}

#[tokio::test]
async fn events_are_found_by_what_became_of_them_without_looking_at_the_others() {
    let db = Fixture::new().await;
    let (ours, theirs) = (db.workspace(), db.workspace());
    let (crm, chat) = (db.install(ours, "crm").await, db.install(ours, "chat").await);
    let all = 3 * MAX_LOOKED_AT;
    db.events(ours, all, "a.b").await;
    let mut ids = Vec::new();
    for seq in all + 1..=all + 4 {
        ids.push(db.event(ours, seq, "a.b").await);
    }
    let early = listed(&db, ours, &EventFilter::default(), after(Some(Seq::new(1)), 1))
        .await
        .events[0]
        .id;
    db.letter_of(ours, crm, early, 2, "DEAD", 1).await;
    db.letter_of(ours, chat, ids[0], all + 1, "DISCARDED", 2).await;
    db.letter_of(ours, chat, ids[1], all + 2, "DEAD", 3).await;
    db.retry(ours, crm, ids[2], all + 3, 1).await;
    db.retry(ours, crm, ids[3], all + 4, 0).await;
    db.attempt(ours, crm, ids[2], 1, "TIMEOUT").await;
    // Its event is no longer in the log.
    db.letter(ours, crm, 1, "DEAD", 1).await;
    let of = |status, installation_id| EventFilter {
        status: Some(status),
        installation_id,
        ..EventFilter::default()
    };
    for (filter, expected) in [
        (of(EventStatus::Dead, None), vec![2, all + 2]),
        (of(EventStatus::Dead, Some(crm)), vec![2]),
        (of(EventStatus::Discarded, None), vec![all + 1]),
        (of(EventStatus::Replayed, None), vec![]),
        (of(EventStatus::Retrying, None), vec![all + 3]),
        (of(EventStatus::Retrying, Some(chat)), vec![]),
    ] {
        let (found, pages) = all_pages(&db, ours, &filter, after(None, 9)).await;
        assert_eq!((found, pages), (expected.clone(), 1), "{filter:?}");
        let (found, pages) = all_pages(&db, ours, &filter, before(None, 9, MIB)).await;
        assert_eq!(
            (found, pages),
            (expected.into_iter().rev().collect(), 1),
            "{filter:?}"
        );
        assert_eq!(
            seqs(&listed(&db, theirs, &filter, after(None, 9)).await),
            [0_i64; 0]
        );
    }
    let timed_out = EventFilter {
        outcome: Some(AttemptOutcome::Timeout),
        installation_id: Some(crm),
        ..EventFilter::default()
    };
    assert_eq!(
        all_pages(&db, ours, &timed_out, after(None, 9)).await,
        (vec![all + 3], 4)
    );
}

#[tokio::test]
async fn what_became_of_events_is_found_in_a_workspace_of_many_installations() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let mut last = db.install(ours, "crm").await;
    for number in 0..250 {
        last = db.install(ours, &format!("crm-{number}")).await;
    }
    db.events(ours, 100, "a.b").await;
    let id = db.event(ours, 101, "a.b").await;
    db.letter_of(ours, last, id, 101, "DEAD", 1).await;
    let filter = EventFilter {
        status: Some(EventStatus::Dead),
        ..EventFilter::default()
    };
    for request in [before(None, 9, MIB), after(None, 9)] {
        assert_eq!(all_pages(&db, ours, &filter, request).await.0, [101]);
    }
}

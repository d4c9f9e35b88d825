mod narrowed;

use std::time::Duration;

use super::*;
use crate::{direction::Direction, fixture::Fixture};
use pointsman_domain::event_pattern::EventPattern;

const MIB: usize = 1024 * 1024;

/// The page, however long it takes.
async fn listed(
    db: &Fixture,
    workspace: WorkspaceId,
    filter: &EventFilter,
    request: PageRequest,
) -> EventPage {
    page(&db.conn, workspace, filter, &request, || Duration::MAX)
        .await
        .unwrap()
}

/// Newest first, those before this position.
fn before(after: Option<Seq>, limit: u64, max_bytes: usize) -> PageRequest {
    PageRequest {
        direction: Direction::Descending,
        after,
        limit,
        max_bytes,
    }
}

/// Oldest first, those after this position.
fn after(after: Option<Seq>, limit: u64) -> PageRequest {
    PageRequest {
        direction: Direction::Ascending,
        ..before(after, limit, MIB)
    }
}

/// All that the filter lets through, page by page, and the number of pages.
async fn all_pages(
    db: &Fixture,
    workspace: WorkspaceId,
    filter: &EventFilter,
    mut request: PageRequest,
) -> (Vec<i64>, usize) {
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let read = listed(db, workspace, filter, request).await;
        found.extend(seqs(&read));
        pages += 1;
        request.after = read.next;
        if request.after.is_none() {
            return (found, pages);
        }
    }
}

fn seqs(page: &EventPage) -> Vec<i64> {
    page.events.iter().map(|event| event.seq.get()).collect()
}

#[tokio::test]
async fn a_page_ends_at_its_bytes_and_the_next_goes_on_there() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    for seq in 1..=40 {
        db.event(ours, seq, "a.b").await;
    }
    let filter = EventFilter::default();
    let whole = listed(&db, ours, &filter, before(None, 40, MIB)).await;
    assert_eq!((whole.events.len(), whole.next), (40, None));
    let one = whole.events[0].payload.len();
    for (max_bytes, expected) in [
        (0, 1),
        (1, 1),
        (one, 1),
        (one + 1, 2),
        (25 * one, 25),
        (39 * one + 1, 40),
    ] {
        let read = listed(&db, ours, &filter, before(None, 100, max_bytes)).await;
        assert_eq!(
            (read.events.len(), read.next.is_some()),
            (expected, expected < 40),
            "{max_bytes} bytes"
        );
    }
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let read = listed(&db, ours, &filter, before(last, 7, 3 * one)).await;
        seen.extend(seqs(&read));
        last = read.next;
        if last.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=40).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn events_are_paged_newest_first_within_their_workspace() {
    let db = Fixture::new().await;
    let (ours, theirs) = (db.workspace(), db.workspace());
    for seq in 1..=5 {
        db.event(ours, seq, "crm.deal.closed").await;
    }
    let foreign = db.event(theirs, 1, "crm.deal.closed").await;

    let filter = EventFilter::default();
    let first = listed(&db, ours, &filter, before(None, 3, MIB)).await;
    let second = listed(&db, ours, &filter, before(Some(Seq::new(3)), 3, MIB)).await;
    assert_eq!((seqs(&first), first.next), (vec![5, 4, 3], Some(Seq::new(3))));
    assert_eq!((seqs(&second), second.next), (vec![2, 1], None));
    assert!(find(&db.conn, ours, foreign).await.unwrap().is_none());
    assert!(find(&db.conn, theirs, foreign).await.unwrap().is_some());
    assert_eq!(head(&db.conn, ours).await.unwrap(), Seq::new(5));
    assert_eq!(head(&db.conn, db.workspace()).await.unwrap(), Seq::ZERO);
}

#[tokio::test]
async fn every_filter_restricts() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    // The fixture accepts the event of position n at n seconds, by the actor `actor-n`.
    for (seq, key) in [(1, "a.a"), (2, "a.b"), (3, "a.a"), (4, "a.a")] {
        db.event(ours, seq, key).await;
    }
    let at = |seconds: i64| Some(Timestamp::from_millis(seconds * 1000));
    let key = EventPattern::parse("a.a").unwrap();
    let cases = [
        (
            EventFilter {
                event_key: Some(key),
                ..Default::default()
            },
            vec![4, 3, 1],
        ),
        (
            EventFilter {
                actor: Some("actor-2".into()),
                ..Default::default()
            },
            vec![2],
        ),
        (
            EventFilter {
                from: at(2),
                to: at(4),
                ..Default::default()
            },
            vec![3, 2],
        ),
    ];
    for (filter, expected) in cases {
        let found = listed(&db, ours, &filter, before(None, 10, MIB)).await;
        assert_eq!(seqs(&found), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_page_that_finds_nothing_says_where_to_go_on_and_all_pages_find_everything() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let all = 2 * MAX_LOOKED_AT + 5;
    db.events(ours, all, "a.b").await;
    let wanted = [1, 2, MAX_LOOKED_AT + 4, all + 1];
    for seq in [1, 2, MAX_LOOKED_AT + 4] {
        db.rename_event(ours, seq, "a.rare").await;
    }
    db.event(ours, all + 1, "a.rare").await;
    let filter = EventFilter {
        event_key: Some(EventPattern::parse("a.rare").unwrap()),
        ..EventFilter::default()
    };
    let (mut found, mut last, mut sizes) = (Vec::new(), None, Vec::new());
    loop {
        let read = listed(&db, ours, &filter, before(last, 10, MIB)).await;
        sizes.push(read.events.len());
        found.extend(seqs(&read));
        last = read.next;
        if last.is_none() {
            break;
        }
    }
    assert_eq!(found, wanted.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(sizes, [1, 1, 2]);
    let gone = EventFilter {
        actor: Some("nobody".to_owned()),
        ..EventFilter::default()
    };
    let read = listed(&db, ours, &gone, before(None, 10, MIB)).await;
    assert_eq!(
        (read.events.len(), read.next),
        (0, Some(Seq::new(all + 2 - MAX_LOOKED_AT)))
    );
}

#[tokio::test]
async fn headings_cover_the_stretch_after_one_place_and_through_another() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    for seq in 1..=5 {
        db.event(ours, seq, "a.b").await;
    }
    let found = headings(&db.conn, ours, Seq::new(1), Seq::new(4), 2)
        .await
        .unwrap();
    assert_eq!(found.iter().map(|h| h.seq.get()).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn pages_in_both_directions_have_every_event_once_while_others_come() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    for seq in 1..=9 {
        db.event(ours, seq, "a.b").await;
    }
    let everything = EventFilter::default();
    let first = listed(&db, ours, &everything, before(None, 4, MIB)).await;
    let oldest = listed(&db, ours, &everything, after(None, 4)).await;
    for seq in 10..=12 {
        db.event(ours, seq, "a.b").await;
    }
    let (rest, _) = all_pages(&db, ours, &everything, before(first.next, 4, MIB)).await;
    assert_eq!((seqs(&first), rest), (vec![9, 8, 7, 6], vec![5, 4, 3, 2, 1]));
    let (rest, _) = all_pages(&db, ours, &everything, after(oldest.next, 4)).await;
    assert_eq!(seqs(&oldest), [1, 2, 3, 4]);
    assert_eq!(rest, [5, 6, 7, 8, 9, 10, 11, 12]);
    for (request, expected) in [
        (after(Some(Seq::new(10)), 9), vec![11, 12]),
        (after(Some(Seq::new(12)), 9), vec![]),
        (after(Some(Seq::new(i64::MAX)), 9), vec![]),
        (after(Some(Seq::new(i64::MIN)), 2), vec![1, 2]),
        (before(Some(Seq::new(i64::MAX)), 2, MIB), vec![12, 11]),
        (before(Some(Seq::new(i64::MIN)), 2, MIB), vec![]),
    ] {
        assert_eq!(
            seqs(&listed(&db, ours, &everything, request).await),
            expected,
            "{request:?}"
        );
    }
}

#[tokio::test]
async fn a_pattern_stands_for_the_keys_that_a_subscription_to_it_gets() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let keys = [
        "crm.deal.closed",
        "crm.closed",
        "crm.deal.x.closed",
        "crmx.deal.closed",
        "CRM.deal.closed",
        "crm.a_b",
    ];
    for (seq, key) in (1..).zip(keys) {
        db.event(ours, seq, key).await;
    }
    for pattern in [
        "crm.*.closed",
        "crm.**",
        "**",
        "*.*",
        "crm.a_b",
        "crm.*",
        "crm.*.x.**",
        "crm.deal.**",
        "*.deal.*",
    ] {
        let pattern = EventPattern::parse(pattern).unwrap();
        let expected: Vec<i64> = (1..)
            .zip(keys)
            .filter(|(_, key)| pattern.matches(&EventKey::parse(key).unwrap()))
            .map(|(seq, _)| seq)
            .collect();
        let filter = EventFilter {
            event_key: Some(pattern),
            ..EventFilter::default()
        };
        assert_eq!(
            seqs(&listed(&db, ours, &filter, after(None, 9)).await),
            expected,
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn payloads_are_searched_for_a_text_and_for_members() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let payloads = [
        r#"{"dealId": 42, "note": "big one"}"#,
        r#"{"dealId": "42", "deal": {"open": true}}"#,
        r#"{"dealId": 7, "note": "42"}"#,
        "damaged 42",
    ];
    for (seq, payload) in (1..).zip(payloads) {
        db.event(ours, seq, "a.b").await;
        db.change_payload(ours, seq, payload).await;
    }
    let member = |path, value| PayloadMember::parse(path, value).unwrap();
    let text = |text| PayloadText::parse(text).ok();
    for (text, members, expected) in [
        (text("42"), vec![], vec![1, 2, 3, 4]),
        (text("Big"), vec![], vec![]),
        (None, vec![member("dealId", "42")], vec![1, 2]),
        (
            None,
            vec![member("dealId", "42"), member("deal.open", "true")],
            vec![2],
        ),
        (text("big"), vec![member("dealId", "42")], vec![1]),
    ] {
        let filter = EventFilter {
            text,
            members,
            ..EventFilter::default()
        };
        assert_eq!(
            seqs(&listed(&db, ours, &filter, after(None, 9)).await),
            expected,
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn a_page_that_is_late_has_what_it_found_and_goes_on_behind_it() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let all = 3_000;
    db.events(ours, all, "a.b").await;
    for seq in [1, 700, 2_999] {
        db.change_payload(ours, seq, r#"{"a": "needle"}"#).await;
        db.rename_event(ours, seq, "a.rare").await;
    }
    let by_text = EventFilter {
        text: PayloadText::parse("needle").ok(),
        ..EventFilter::default()
    };
    let by_key = EventFilter {
        event_key: EventPattern::parse("*.rare").ok(),
        ..EventFilter::default()
    };
    for (filter, pieces) in [(by_text, 250), (by_key, 500)] {
        for start in [before(None, 9, MIB), after(None, 9)] {
            let (mut found, mut pages, mut request) = (Vec::new(), 0, start);
            loop {
                let read = page(&db.conn, ours, &filter, &request, || Duration::ZERO)
                    .await
                    .unwrap();
                found.extend(seqs(&read));
                pages += 1;
                request.after = read.next;
                if request.after.is_none() {
                    break;
                }
            }
            if start.direction == Direction::Descending {
                found.reverse();
            }
            assert_eq!((found, pages), (vec![1, 700, 2_999], all / pieces), "{filter:?}");
            assert_eq!(all_pages(&db, ours, &filter, start).await.1, 1);
        }
    }
}

#[tokio::test]
async fn large_payloads_end_the_search_of_a_page() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let large = format!("\"{}\"", "x".repeat(MIB));
    for seq in 1..=40 {
        db.event(ours, seq, "a.b").await;
        db.change_payload(ours, seq, &large).await;
    }
    let filter = EventFilter {
        text: PayloadText::parse("needle").ok(),
        ..EventFilter::default()
    };
    let (found, pages) = all_pages(&db, ours, &filter, before(None, 9, MIB)).await;
    assert_eq!((found, pages), (vec![], 3), "16 MiB a page");
}

use sea_orm::QueryTrait;
use std::time::Duration;

use super::{
    page::{of_workspace, select},
    *,
};
use crate::{direction::Direction, fixture::Fixture};
use pointsman_domain::{attempt::AttemptOutcome, event_pattern::EventPattern};

async fn listed(
    db: &Fixture,
    workspace: WorkspaceId,
    filter: &DeadLetterFilter,
    direction: Direction,
    after: Option<PagePosition>,
    limit: u64,
) -> LetterPage {
    let request = LetterRequest {
        direction,
        after,
        limit,
    };
    page(&db.conn, workspace, filter, &request, || Duration::MAX)
        .await
        .unwrap()
}

fn seqs(page: &LetterPage) -> Vec<i64> {
    page.letters.iter().map(|letter| letter.seq.get()).collect()
}

#[tokio::test]
async fn letters_that_failed_in_the_same_millisecond_are_paged_without_gap_or_repeat() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let crm = db.install(ours, "crm").await;
    for seq in 1..=5 {
        db.letter(ours, crm, seq, "DEAD", 7000).await;
    }
    let filter = DeadLetterFilter::default();
    for (direction, expected) in [
        (Direction::Descending, [5, 4, 3, 2, 1]),
        (Direction::Ascending, [1, 2, 3, 4, 5]),
    ] {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = listed(&db, ours, &filter, direction, after, 2).await;
            seen.extend(seqs(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn pages_are_read_along_an_index_in_both_directions() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let after = Some((Timestamp::from_millis(7), DeadLetterId::new(uuid::Uuid::nil())));
    for direction in [Direction::Ascending, Direction::Descending] {
        for (query, index) in [
            (of_workspace(ours), "dead_letter_event_workspace"),
            (Entity::find(), "dead_letter_event_time"),
        ] {
            let query = select(query, direction, after, after, 9);
            let mut statement = query.build(db.conn.get_database_backend());
            statement.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
            let steps = db.conn.query_all_raw(statement).await.unwrap();
            let steps = steps.iter().map(|step| step.try_get("", "detail").unwrap());
            let plan = steps.collect::<Vec<String>>().join("\n");
            assert!(plan.starts_with("SEARCH ") && plan.contains(index), "{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}

#[tokio::test]
async fn a_letter_is_seen_in_its_workspace_and_across_workspaces() {
    let db = Fixture::new().await;
    let (ours, theirs) = (db.workspace(), db.workspace());
    let crm = db.install(ours, "crm").await;
    let letter = db.letter(ours, crm, 1, "DEAD", 1000).await;
    let filter = DeadLetterFilter::default();

    assert!(find(&db.conn, ours, letter).await.unwrap().is_some());
    assert!(find(&db.conn, theirs, letter).await.unwrap().is_none());
    let page = listed(&db, theirs, &filter, Direction::Descending, None, 9).await;
    assert!(page.letters.is_empty());
    let request = LetterRequest {
        direction: Direction::Descending,
        after: None,
        limit: 9,
    };
    let page = page_across_workspaces(&db.conn, &filter, &request, || Duration::MAX)
        .await
        .unwrap();
    assert_eq!(page.letters.len(), 1);
}

#[tokio::test]
async fn every_filter_restricts() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let (crm, chat) = (db.install(ours, "crm").await, db.install(ours, "chat").await);
    db.letter(ours, crm, 1, "DEAD", 1000).await;
    db.letter(ours, crm, 2, "REPLAYED", 2000).await;
    db.letter(ours, chat, 3, "DEAD", 3000).await;
    let at = |millis| Some(Timestamp::from_millis(millis));
    let none = DeadLetterFilter::default;
    let cases = [
        (
            DeadLetterFilter {
                installation_id: Some(crm),
                ..none()
            },
            vec![2, 1],
        ),
        (
            DeadLetterFilter {
                event_key: EventPattern::parse("x.y").ok(),
                ..none()
            },
            vec![],
        ),
        (
            DeadLetterFilter {
                status: Some(DeadLetterStatus::Dead),
                ..none()
            },
            vec![3, 1],
        ),
        (
            DeadLetterFilter {
                reason: Some(DeadLetterReason::Gone),
                ..none()
            },
            vec![],
        ),
        (
            DeadLetterFilter {
                from: at(2000),
                to: at(3000),
                ..none()
            },
            vec![2],
        ),
    ];
    for (filter, expected) in cases {
        let page = listed(&db, ours, &filter, Direction::Descending, None, 9).await;
        assert_eq!(seqs(&page), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn letters_are_found_by_a_pattern_by_their_last_status_and_by_how_their_last_attempt_ended() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let crm = db.install(ours, "crm").await;
    let mut events = Vec::new();
    for seq in 1..=2 {
        let event = db.event(ours, seq, "a.b").await;
        db.letter_of(ours, crm, event, seq, "DEAD", seq * 1000).await;
        events.push(event);
    }
    db.attempt(ours, crm, events[0], 1, "TIMEOUT").await;
    db.attempt(ours, crm, events[0], 2, "HTTP_5XX").await;
    let none = DeadLetterFilter::default;
    let key = |pattern| DeadLetterFilter {
        event_key: EventPattern::parse(pattern).ok(),
        ..none()
    };
    let status = |text| DeadLetterFilter {
        http_status: Some(HttpStatuses::parse(text).unwrap()),
        ..none()
    };
    let outcome = |outcome| DeadLetterFilter {
        outcome: Some(outcome),
        ..none()
    };
    for (filter, expected) in [
        (key("a.*"), vec![2, 1]),
        (key("a.*.*"), vec![]),
        (key("*.b.**"), vec![]),
        (status("500"), vec![2, 1]),
        (status("5xx"), vec![2, 1]),
        (status("503"), vec![]),
        (status("4xx"), vec![]),
        (outcome(AttemptOutcome::Http5xx), vec![1]),
        (outcome(AttemptOutcome::Timeout), vec![]),
    ] {
        let page = listed(&db, ours, &filter, Direction::Descending, None, 9).await;
        assert_eq!((seqs(&page), page.next), (expected, None), "{filter:?}");
    }
    for text in [
        "", "5", "50", "5000", "600", "099", "xxx", "5x", "x5x", "+50", "5+1", "6xx",
    ] {
        assert_eq!(HttpStatuses::parse(text), None, "{text}");
    }
}

#[tokio::test]
async fn a_filter_that_few_letters_pass_is_followed_page_by_page() {
    let db = Fixture::new().await;
    let ours = db.workspace();
    let crm = db.install(ours, "crm").await;
    let all = 2 * MAX_LOOKED_AT + 5;
    db.letters(ours, crm, all).await;
    let (first, last) = (1, all + 1);
    for (seq, failed_at) in [(first, 0), (last, all * 1000)] {
        db.letter(ours, crm, seq, "REPLAYED", failed_at).await;
    }
    let filter = DeadLetterFilter {
        status: Some(DeadLetterStatus::Replayed),
        ..DeadLetterFilter::default()
    };
    for (direction, expected) in [
        (Direction::Descending, [last, first]),
        (Direction::Ascending, [first, last]),
    ] {
        for (time, at_least) in [(Duration::MAX, 3), (Duration::ZERO, 200)] {
            let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
            loop {
                let request = LetterRequest {
                    direction,
                    after,
                    limit: 9,
                };
                let page = page(&db.conn, ours, &filter, &request, || time).await.unwrap();
                seen.extend(seqs(&page));
                after = page.next;
                pages += 1;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expected);
            assert!((at_least..at_least + 2).contains(&pages), "{pages} pages");
        }
    }
}

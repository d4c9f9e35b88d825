//! Events are found by what they are, say and caused, and every page is bounded.

use serde_json::{Value, json};

use super::pages::fill_log;
use pointsman_test_kit::{Answer, Engine, TestApp, Workspace, on_both_engines};

on_both_engines! {
    events_are_found_by_key_actor_and_payload,
    a_reader_that_goes_upwards_gets_what_comes_meanwhile_and_goes_on_after_its_last_event,
    a_cursor_is_of_one_order,
    events_are_found_by_their_time,
    a_search_that_finds_nothing_ends,
    what_is_searched_for_in_one_workspace_is_not_found_in_another,
}

/// The rows of all pages, and how many pages there were.
async fn all_pages(workspace: &Workspace, query: &str) -> (Vec<Value>, usize) {
    let (mut rows, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = workspace
            .get(&format!("/events?{query}{cursor}"))
            .await
            .expect(200);
        rows.extend(page.rows());
        pages += 1;
        match page.json()["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (rows, pages),
        }
    }
}

async fn found(workspace: &Workspace, query: &str) -> Vec<i64> {
    seqs(&all_pages(workspace, query).await.0)
}

fn seqs(rows: &[Value]) -> Vec<i64> {
    rows.iter().filter_map(|row| row["seq"].as_i64()).collect()
}

fn next_of(page: &Answer) -> String {
    let cursor = &page.json()["nextCursor"];
    cursor.as_str().expect("there is another page").to_owned()
}

async fn events_are_found_by_key_actor_and_payload(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    for body in [
        r#"{"eventKey":"crm.deal.closed","actor":"ann","payload":{"dealId":42,"name":"M\u00fcller & Co"}}"#,
        r#"{"eventKey":"crm.deal.opened","actor":"ann","payload":{"dealId":"42","deal":{"open":true}}}"#,
        r#"{"eventKey":"crm.closed","actor":"bob","payload":{"dealId":7,"amount":5000.00,"tags":["vip"]}}"#,
        r#"{"eventKey":"erp.order.closed","payload":{"note":null}}"#,
    ] {
        workspace.publish_raw(body).await.expect(200);
    }
    for (query, expected) in [
        ("eventKey=crm.deal.closed", vec![1]),
        ("eventKey=crm.**", vec![1, 2, 3]),
        ("eventKey=crm.*", vec![3]),
        ("eventKey=*.*.closed", vec![1, 4]),
        ("eventKey=CRM.**", vec![]),
        ("actor=ann", vec![1, 2]),
        ("actor=ann&eventKey=*.deal.opened", vec![2]),
        ("actor=nobody", vec![]),
        ("text=M%C3%BCller", vec![1]),
        ("text=m%C3%BCller", vec![]),
        ("text=42", vec![1, 2]),
        ("payload.dealId=42", vec![1, 2]),
        ("payload.dealId=42.0", vec![1]),
        ("payload.amount=5000", vec![3]),
        ("payload.deal.open=true", vec![2]),
        ("payload.deal.open=1", vec![]),
        ("payload.note=null", vec![4]),
        ("payload.tags=vip", vec![3]),
        ("payload.dealId=42&payload.deal.open=true", vec![2]),
        (
            "payload.name=M%C3%BCller+%26+Co&actor=ann&eventKey=crm.**&text=Co",
            vec![1],
        ),
    ] {
        assert_eq!(
            found(&workspace, &format!("order=asc&{query}")).await,
            expected,
            "{query}"
        );
        let reversed: Vec<_> = expected.into_iter().rev().collect();
        assert_eq!(
            found(&workspace, &format!("{query}&limit=1")).await,
            reversed,
            "{query}"
        );
    }
    app.finish().await;
}

async fn a_reader_that_goes_upwards_gets_what_comes_meanwhile_and_goes_on_after_its_last_event(
    engine: Engine,
) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    for number in 0..5 {
        workspace.publish("a.b", json!({"number": number})).await;
    }
    let first = workspace.get("/events?order=asc&limit=2").await.expect(200);
    let newest = workspace.get("/events?limit=2").await.expect(200);
    workspace.publish("a.b", json!({})).await;
    let rest = found(&workspace, &format!("order=asc&cursor={}", next_of(&first))).await;
    assert_eq!((seqs(&first.rows()), rest), (vec![1, 2], vec![3, 4, 5, 6]));
    let rest = found(&workspace, &format!("cursor={}", next_of(&newest))).await;
    assert_eq!((seqs(&newest.rows()), rest), (vec![5, 4], vec![3, 2, 1]));

    assert_eq!(found(&workspace, "order=asc&after=6").await, [0; 0]);
    workspace.publish("a.b", json!({})).await;
    assert_eq!(found(&workspace, "order=asc&after=6").await, [7]);
    assert_eq!(found(&workspace, "order=asc&after=3&limit=1").await, [4, 5, 6, 7]);
    app.finish().await;
}

async fn a_cursor_is_of_one_order(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    for _ in 0..3 {
        workspace.publish("a.b", json!({})).await;
    }
    for (order, other) in [("asc", "desc"), ("desc", "asc")] {
        let page = workspace
            .get(&format!("/events?limit=1&order={order}"))
            .await
            .expect(200);
        let turned = format!("/events?order={other}&cursor={}", next_of(&page));
        let refused = workspace
            .get(&turned)
            .await
            .expect_problem(400, "VALIDATION_FAILED");
        assert_eq!(refused.wrong_fields(), ["cursor"]);
    }
    let refused = workspace.get("/events?after=1").await;
    assert_eq!(
        refused.expect_problem(400, "VALIDATION_FAILED").wrong_fields(),
        ["after"]
    );
    app.finish().await;
}

async fn events_are_found_by_their_time(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    // One each 66 ms, over half an hour.
    fill_log(&app, engine, &workspace.id, 30_000, 66).await;
    for (query, expected) in [
        (
            "from=1970-01-01T00:16:30Z&to=1970-01-01T00:16:30.198Z",
            vec![15_000, 15_001, 15_002],
        ),
        ("from=1970-01-01T00:32:59.934Z", vec![29_999, 30_000]),
        ("to=1970-01-01T00:00:00.133Z", vec![1, 2]),
        ("from=1970-01-02T00:00:00Z", vec![]),
        ("to=1970-01-01T00:00:00Z", vec![]),
        ("from=1970-01-01T00:20:00Z&to=1970-01-01T00:10:00Z", vec![]),
    ] {
        assert_eq!(
            found(&workspace, &format!("order=asc&{query}")).await,
            expected,
            "{query}"
        );
        let reversed: Vec<_> = expected.into_iter().rev().collect();
        assert_eq!(found(&workspace, query).await, reversed, "{query}");
    }
    app.finish().await;
}

async fn a_search_that_finds_nothing_ends(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    fill_log(&app, engine, &workspace.id, 25_000, 1).await;
    for query in [
        "actor=nobody",
        "eventKey=none.**",
        "text=nothing",
        "payload.dealId=42",
        "text=nothing&payload.a.b.c=1&actor=nobody&order=asc",
    ] {
        let (rows, pages) = all_pages(&workspace, query).await;
        assert_eq!(rows, [] as [Value; 0], "{query}");
        assert!(pages >= 3, "{pages} pages of at most 10,000 events for {query}");
    }
    app.finish().await;
}

async fn what_is_searched_for_in_one_workspace_is_not_found_in_another(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (ours, theirs) = (app.workspace("acme").await, app.workspace("globex").await);
    for _ in 0..3 {
        theirs
            .publish_raw(r#"{"eventKey":"crm.deal.closed","actor":"ann","payload":{"dealId":42}}"#)
            .await
            .expect(200);
    }
    let foreign = theirs.events().await[0]["id"]
        .as_str()
        .expect("an event has an id")
        .to_owned();
    ours.publish("a.b", json!({})).await;
    for query in [
        "eventKey=crm.**".to_owned(),
        "actor=ann".to_owned(),
        "text=42".to_owned(),
        "payload.dealId=42".to_owned(),
        format!("causationId={foreign}"),
        format!("correlationId={foreign}"),
        "order=asc&after=1".to_owned(),
    ] {
        assert_eq!(found(&ours, &query).await, [0; 0], "{query}");
    }
    assert_eq!(found(&theirs, &format!("correlationId={foreign}")).await, [3]);
    let member = app.member(&ours, "ann", "MEMBER").await;
    let answer = theirs.seen_by(&member.caller).get("/events?text=42").await;
    answer.expect_problem(403, "FORBIDDEN");
    app.finish().await;
}

//! Lists that would be too large, and rows that are damaged.

use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use pointsman_test_kit::{Engine, TestApp, on_both_engines};

on_both_engines! {
    a_page_of_large_events_ends_early_and_the_next_goes_on,
    a_filter_that_few_events_pass_is_followed_page_by_page,
    a_damaged_payload_is_shown_as_a_text,
}

async fn a_page_of_large_events_ends_early_and_the_next_goes_on(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let large = "x".repeat(250_000);
    for number in 0..20 {
        workspace
            .publish("a.b", json!({"number": number, "large": large}))
            .await;
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = workspace
            .get(&format!("/events?limit=200{cursor}"))
            .await
            .expect(200);
        assert!(page.body.len() < 5 * 1024 * 1024, "{} bytes", page.body.len());
        seen.extend(page.rows().iter().map(|row| row["seq"].as_i64()));
        pages += 1;
        match page.json()["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (1..=20).rev().map(Some).collect::<Vec<_>>());
    assert_eq!(pages, 2, "4 MiB are reached by the 17th event");
    app.finish().await;
}

/// Written as the journal would have, by one statement: one event each `every` milliseconds.
pub(super) async fn fill_log(app: &TestApp, engine: Engine, workspace: &str, count: u64, every: u64) {
    let columns = "workspace_id, seq, id, event_key, payload, occurred_at";
    let id = match engine {
        Engine::Sqlite => "randomblob(16)",
        Engine::Postgres => "gen_random_uuid()",
    };
    let values = format!("n, {id}, 'a.' || n, '{{}}', n * {every}");
    let sql = match engine {
        Engine::Sqlite => format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count}) \
             INSERT INTO platform_event ({columns}) SELECT x'{}', {values} FROM n",
            workspace.replace('-', "")
        ),
        Engine::Postgres => format!(
            "INSERT INTO platform_event ({columns}) SELECT '{workspace}', {values} \
             FROM generate_series(1, {count}) AS n"
        ),
    };
    let database = app.database().await;
    let done = database.execute_unprepared(&sql).await;
    assert_eq!(done.expect("rows can be added to the log").rows_affected(), count);
    database.close().await.expect("a connection can be closed");
}

async fn a_filter_that_few_events_pass_is_followed_page_by_page(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    fill_log(&app, engine, &workspace.id, 25_000, 1).await;
    let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = workspace
            .get(&format!("/events?eventKey=a.7{cursor}"))
            .await
            .expect(200);
        found.extend(page.rows().iter().map(|row| row["seq"].as_i64()));
        pages += 1;
        match page.json()["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, [Some(7)]);
    assert!(pages >= 3, "{pages} pages of at most 10,000 events");
    app.finish().await;
}

async fn a_damaged_payload_is_shown_as_a_text(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&[])).await;
    let workspace = app.workspace("acme").await;
    let crm = workspace
        .install_at("crm", "http://127.0.0.1:1")
        .subscribed_to(&["**"])
        .await;
    let ids = [
        workspace.publish("a.b", json!({"a": 1})).await,
        workspace.publish("a.b", json!({"a": 2})).await,
    ];
    let letters = workspace.dead_letters_become(2, "").await;
    let database = app.database().await;
    for table in ["platform_event WHERE seq = 1", "dead_letter_event WHERE seq = 1"] {
        let (table, rest) = table.split_once(' ').expect("a table and a condition");
        let damage = format!(r#"UPDATE {table} SET payload = '{{"a":' {rest}"#);
        database
            .execute_unprepared(&damage)
            .await
            .expect("a row can be changed");
    }
    database.close().await.expect("a connection can be closed");

    let check = |shown: &Value, damaged: bool| {
        let expected = match damaged {
            true => (json!("{\"a\":"), json!(true)),
            false => (json!({"a": 2}), Value::Null),
        };
        assert_eq!(
            (&shown["payload"], &shown["corrupt"]),
            (&expected.0, &expected.1),
            "{shown}"
        );
    };
    let listed = workspace.events().await;
    check(&listed[0], false);
    check(&listed[1], true);
    check(&workspace.event(&ids[0]).await, true);
    check(&workspace.event(&ids[1]).await, false);
    for letter in &letters {
        let id = letter["id"].as_str().expect("a letter has an id");
        let shown = workspace.dead_letter(id).await;
        check(&shown, shown["eventId"] == json!(ids[0]));
    }
    assert_eq!(workspace.dead_letters("").await.len(), 2);
    assert_eq!(workspace.delivery_status(&ids[0], &crm).await, "DEAD");
    app.finish().await;
}

//! A backlog is on disk, not in memory, and drains in its order.

use std::{collections::HashSet, time::Duration};

use pointsman_clock::Clock;
use sea_orm::ConnectionTrait as _;
use serde_json::Value;

use pointsman_test_kit::{DownService, Engine, Service, TestApp, on_both_engines};

on_both_engines! {
    twenty_thousand_events_wait_on_disk_and_drain_in_the_order_of_the_log,
}

const BACKLOG: u64 = 20_000;
const CONCURRENCY: u64 = 16;
const MIB: u64 = 1024 * 1024;

async fn twenty_thousand_events_wait_on_disk_and_drain_in_the_order_of_the_log(engine: Engine) {
    let mut app = TestApp::with(engine, |settings| {
        // A breaker that is open for a second at the most, and nothing given up.
        let settings = settings.set("delivery.concurrency", CONCURRENCY);
        settings.retrying_after(&["1s"; 100])
    })
    .await;
    let workspace = app.workspace("acme").await;
    let (down, quick) = (
        DownService::reserve().expect("a free port"),
        Service::start().await,
    );
    workspace
        .install_at("crm", down.url())
        .subscribed_to(&["crm.**"])
        .await;
    workspace
        .install_external("quick", &quick)
        .subscribed_to(&["other.**"])
        .await;
    app.restart().await;
    let empty = app.resident_bytes();

    assert!(app.stop().await.success());
    fill_log(&app, engine, &workspace.id).await;
    let started = Clock.instant();
    app.start_again().await;
    let took = Clock.elapsed(started);
    assert!(took <= Duration::from_secs(5), "the start took {took:?}");
    // Publishing to others goes on beside it.
    workspace.publish_many("other.thing.done", 50).await;
    quick.received(50).await;

    let crm = down.come_up().await;
    let arrived = crm.received(BACKLOG).await;
    let order = first_arrivals(arrived.iter().map(|received| {
        let body: Value = received.json().expect("a delivery is JSON");
        body["payload"]["position"]
            .as_u64()
            .expect("an event has a position")
    }));
    // Whatever was attempted while it was down comes in turn with the rest; what was not comes in order, as
    // far as so many at once can arrive in order.
    let stragglers = out_of_order(&order);
    assert!(stragglers <= 2 * CONCURRENCY, "{stragglers} came out of order");
    let grown = app.resident_bytes().saturating_sub(empty);
    assert!(grown <= 64 * MIB, "memory has grown by {} KiB", grown / 1024);
    app.finish().await;
}

/// Written as the journal would have.
async fn fill_log(app: &TestApp, engine: Engine, workspace: &str) {
    let now = Clock.wall().millis();
    let columns = "workspace_id, seq, id, event_key, payload, occurred_at";
    let sql = match engine {
        Engine::Sqlite => format!(
            "WITH RECURSIVE position (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM position WHERE n < {BACKLOG}) \
             INSERT INTO platform_event ({columns}) SELECT x'{}', n, randomblob(16), 'crm.deal.closed', \
             '{{\"position\":' || n || '}}', {now} FROM position",
            workspace.replace('-', "")
        ),
        Engine::Postgres => format!(
            "INSERT INTO platform_event ({columns}) SELECT '{workspace}', n, gen_random_uuid(), \
             'crm.deal.closed', '{{\"position\":' || n || '}}', {now} FROM generate_series(1, {BACKLOG}) AS n"
        ),
    };
    let database = app.database().await;
    let done = database
        .execute_unprepared(&sql)
        .await
        .expect("rows can be added to the log");
    assert_eq!(done.rows_affected(), BACKLOG);
    let id = match engine {
        Engine::Sqlite => format!("x'{}'", workspace.replace('-', "")),
        Engine::Postgres => format!("'{workspace}'"),
    };
    let mark = format!(
        "INSERT INTO workspace_due (workspace_id, due_at) VALUES ({id}, 0) \
         ON CONFLICT (workspace_id) DO UPDATE SET due_at = 0"
    );
    database
        .execute_unprepared(&mark)
        .await
        .expect("the workspace can be marked as due");
    database.close().await.expect("a connection can be closed");
}

/// Without repeats.
fn first_arrivals(positions: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut seen = HashSet::new();
    positions.filter(|position| seen.insert(*position)).collect()
}

/// How many came after one whose position is further on than so many at once can explain.
fn out_of_order(order: &[u64]) -> u64 {
    let mut furthest = 0;
    let mut stragglers = 0;
    for position in order {
        furthest = furthest.max(*position);
        stragglers += u64::from(position + 4 * CONCURRENCY < furthest);
    }
    stragglers
}

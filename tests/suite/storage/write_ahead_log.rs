//! SQLite's write-ahead log stays within its bound, and no publisher waits for that.

use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use serde_json::json;
use tokio::time::timeout;

use pointsman_test_kit::{BOUND, Engine, LogWatch, MIB, PATIENCE, TestApp};

/// In each of six workspaces: together they would fill the bound three times.
const EVENTS: usize = 2_000;
/// As many as the server reads with at a time.
const READERS: usize = 16;

#[actix_web::test]
async fn the_log_stays_within_its_bound_under_a_load_that_never_pauses() {
    let app = TestApp::start(Engine::Sqlite).await;
    let log = LogWatch::of(&app);
    log.under_load(&app, EVENTS).await;
    let largest = log.largest();
    assert!(largest > MIB, "the log was looked at: {largest} bytes");
    assert!(largest <= BOUND, "the log has grown to {} MiB", largest / MIB);
    app.finish().await;
}

#[actix_web::test]
async fn the_log_stays_within_its_bound_beside_reads_that_overlap() {
    let app = TestApp::start(Engine::Sqlite).await;
    let log = LogWatch::of(&app);
    log.under_load_beside(&app, EVENTS, READERS).await;
    let largest = log.largest();
    assert!(largest > MIB, "the log was looked at: {largest} bytes");
    assert!(largest <= BOUND, "the log has grown to {} MiB", largest / MIB);
    app.finish().await;
}

#[actix_web::test]
async fn a_foreign_snapshot_makes_the_log_long_and_its_end_makes_it_short_again() {
    let app = TestApp::start(Engine::Sqlite).await;
    let log = LogWatch::of(&app);
    // As `sqlite3 pointsman.db` with an open transaction, or a backup that takes its time.
    let client = app.database().await;
    let snapshot = client.begin().await.expect("a transaction begins");
    let select = "SELECT count(*) FROM platform_event";
    snapshot.execute_unprepared(select).await.expect("it reads");
    let workspaces = log.under_load(&app, 2 * EVENTS).await;
    assert!(
        log.largest() > BOUND,
        "the snapshot keeps what it may still read: {} bytes",
        log.largest()
    );
    snapshot.rollback().await.expect("the snapshot ends");
    client.close().await.expect("a connection can be closed");
    let shortened = async {
        while log.size() > BOUND {
            workspaces[0].publish("crm.deal.closed", json!({})).await;
        }
    };
    timeout(PATIENCE, shortened)
        .await
        .expect("the log is short again");
    app.finish().await;
}

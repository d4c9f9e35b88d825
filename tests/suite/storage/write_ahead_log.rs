//! SQLite's write-ahead log stays within its bound, and no publisher waits for that.

use futures_util::future::join;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, TransactionTrait as _};
use serde_json::json;
use tokio::time::timeout;

use pointsman_test_kit::{BOUND, Engine, Load, LogWatch, MIB, PATIENCE, SmallDisk, TestApp, eventually};

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
async fn the_log_stays_within_its_bound_under_a_load_over_a_thousand_workspaces() {
    let app = TestApp::start(Engine::Sqlite).await;
    let log = LogWatch::of(&app);
    log.under_load_over(&app, 1_000, EVENTS / 100).await;
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
    let snapshot = snapshot(&client).await;
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

#[actix_web::test]
async fn a_log_that_is_too_long_becomes_short_again_though_nothing_is_published() {
    let app = TestApp::start(Engine::Sqlite).await;
    let log = LogWatch::of(&app);
    let client = app.database().await;
    let snapshot = snapshot(&client).await;
    log.under_load(&app, EVENTS).await;
    assert!(log.size() > BOUND, "the snapshot keeps it: {} bytes", log.size());
    snapshot.rollback().await.expect("the snapshot ends");
    client.close().await.expect("a connection can be closed");
    eventually("the log is short again", async || {
        let size = log.size();
        if size <= BOUND { Ok(()) } else { Err(size) }
    })
    .await;
    app.finish().await;
}

#[actix_web::test]
async fn a_log_that_a_snapshot_makes_long_is_stopped_by_the_watermark_of_the_disk() {
    let disk = SmallDisk::mount(32 * MIB);
    let app = TestApp::in_folder(disk.folder(), |settings| {
        settings.set("database.min_free_bytes", 22 * MIB)
    })
    .await;
    let workspace = app.workspace("acme").await;
    let client = app.database().await;
    let snapshot = snapshot(&client).await;
    let load = Load::on(&workspace);
    let scripted = async {
        // Nothing but the log grows: what it holds cannot be copied into the database.
        load.is_refused(40).await;
        let log = disk.folder().join("pointsman.db-wal");
        let size = std::fs::metadata(log).expect("it is there").len();
        assert!(size > 4 * MIB, "the log has {size} bytes");
        snapshot.rollback().await.expect("the snapshot ends");
        disk.grow(96 * MIB);
        load.acknowledges(40).await;
        load.stop();
    };
    join(load.publish(), scripted).await;
    client.close().await.expect("a connection can be closed");
    app.finish().await;
}

/// A read transaction of another process that has read: the log keeps everything that is written from now on.
async fn snapshot(client: &sea_orm::DatabaseConnection) -> DatabaseTransaction {
    let snapshot = client.begin().await.expect("a transaction begins");
    let select = "SELECT count(*) FROM platform_event";
    snapshot.execute_unprepared(select).await.expect("it reads");
    snapshot
}

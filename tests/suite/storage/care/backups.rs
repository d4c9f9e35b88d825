//! `pointsman backup`.

use std::{cell::Cell, fs, os::unix::fs::PermissionsExt as _, time::Duration};

use futures_util::future::join;
use serde_json::json;

use super::{events_in, names, path, refused, run};
use pointsman_test_kit::{Engine, LogWatch, MIB, SmallDisk, TestApp};

/// In each of six workspaces: together some 100 MiB of write-ahead log, which is started anew several times.
const EVENTS: usize = 1_000;

#[actix_web::test]
async fn a_backup_under_load_has_every_event_that_was_acknowledged_before() {
    let app = TestApp::start(Engine::Sqlite).await;
    let acme = app.workspace("acme").await;
    let log = LogWatch::of(&app);
    let under_load = Cell::new(true);
    let load = async {
        log.under_load(&app, EVENTS).await;
        under_load.set(false);
    };
    let backups = async {
        let (mut acknowledged, mut made) = (Vec::new(), 0);
        while under_load.get() {
            acknowledged.push(acme.publish("crm.deal.closed", json!({})).await);
            made += 1;
            let file = path(&app, &format!("backup-{made}.db"));
            let said = run(&app, &["backup", &file]).await;
            assert!(
                said.contains("is complete") && said.contains("cookie.key"),
                "{said}"
            );
            // A backup is one file.
            assert_eq!(
                names(&app, &format!("backup-{made}.db")),
                [format!("backup-{made}.db")]
            );
            let sound = run(&app, &["check", &file]).await;
            assert!(sound.starts_with("nothing is wrong"), "{sound}");
            let events = events_in(file.as_ref()).await;
            assert!(
                acknowledged.iter().all(|event| events.contains(event)),
                "backup {made}"
            );
            fs::remove_file(file).expect("the backup can be removed");
        }
        made
    };
    let ((), made) = join(load, backups).await;
    assert!(made > 2, "only {made} backups were made under load");
    app.finish().await;
}

#[actix_web::test]
async fn a_backup_replaces_no_file_and_is_for_its_owner_alone() {
    let app = TestApp::start(Engine::Sqlite).await;
    let file = path(&app, "backup.db");
    run(&app, &["backup", &file]).await;
    let mode = fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = fs::read(&file).expect("it can be read");
    let again = app.run(&["backup", &file], |settings| settings).await;
    refused(&again, &["backup.db", "a backup replaces none"]);
    assert_eq!(fs::read(&file).expect("it can be read"), before);
    // SQLite would take it for the log of the backup.
    fs::write(app.folder().join("other.db-wal"), "of an earlier file").expect("a file can be made");
    let other = path(&app, "other.db");
    let beside = app.run(&["backup", &other], |settings| settings).await;
    refused(&beside, &["other.db-wal", "a backup replaces none"]);
    app.finish().await;
}

#[actix_web::test]
async fn a_backup_of_a_server_that_was_killed_has_what_is_in_the_write_ahead_log_alone() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    let event = app
        .workspace("acme")
        .await
        .publish("crm.deal.closed", json!({}))
        .await;
    app.kill();
    let file = path(&app, "backup.db");
    run(&app, &["backup", &file]).await;
    assert!(events_in(file.as_ref()).await.contains(&event));
    app.start_again().await;
    app.finish().await;
}

#[actix_web::test]
async fn a_backup_that_is_killed_leaves_a_partial_file_which_the_next_one_replaces() {
    let app = TestApp::start(Engine::Sqlite).await;
    LogWatch::of(&app).under_load(&app, EVENTS / 4).await;
    let file = path(&app, "backup.db");
    let mut killed = 0;
    for after in (0..12).map(|step| Duration::from_millis(20 * step)) {
        let ended = app.run_and_die(&["backup", &file], after).await;
        killed += u32::from(ended.is_none());
        let complete = fs::remove_file(&file).is_ok();
        assert!(ended.is_none() || complete, "{ended:?}");
        let left = names(&app, "backup.db");
        assert!(
            left.iter().all(|name| name.starts_with("backup.db.partial")),
            "{left:?}"
        );
    }
    assert!(killed > 0, "no backup was killed");
    run(&app, &["backup", &file]).await;
    assert_eq!(names(&app, "backup.db"), ["backup.db"]);
    run(&app, &["check", &file]).await;
    app.finish().await;
}

#[actix_web::test]
async fn a_disk_without_room_for_it_is_told_before_it_is_filled() {
    let disk = SmallDisk::mount(MIB / 4);
    let app = TestApp::start(Engine::Sqlite).await;
    LogWatch::of(&app).under_load(&app, 40).await;
    let file = disk.folder().join("backup.db").display().to_string();
    let ended = app.run(&["backup", &file], |settings| settings).await;
    refused(
        &ended,
        &[
            "backup.db",
            "the disk is too full",
            "MiB are needed",
            "MiB are free",
        ],
    );
    assert_eq!(fs::read_dir(disk.folder()).expect("it can be read").count(), 0);
    app.finish().await;
}

#[actix_web::test]
async fn where_the_server_would_soon_refuse_events_nothing_keeps_its_write_ahead_log() {
    let disk = SmallDisk::mount(16 * MIB);
    let app = TestApp::start(Engine::Sqlite).await;
    let nearly_full = (1_u64 << 40).to_string();
    let elsewhere = disk.folder().join("backup.db").display().to_string();
    for arguments in [&["backup", &elsewhere][..], &["check"]] {
        let ended = app
            .run(arguments, |settings| {
                settings.set("database.min_free_bytes", &nearly_full)
            })
            .await;
        refused(&ended, &["the disk of the database has only", "given up"]);
    }
    assert_eq!(fs::read_dir(disk.folder()).expect("it can be read").count(), 0);
    app.finish().await;
}

#[actix_web::test]
async fn two_backups_into_one_file_do_not_meet() {
    let app = TestApp::start(Engine::Sqlite).await;
    LogWatch::of(&app).under_load(&app, EVENTS / 10).await;
    let file = path(&app, "backup.db");
    let arguments = ["backup", &file];
    let one = || app.run(&arguments, |settings| settings);
    let (first, second) = join(one(), one()).await;
    let mut codes = [first.code, second.code];
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(2)], "{first:?}, {second:?}");
    assert_eq!(names(&app, "backup.db"), ["backup.db"]);
    run(&app, &["check", &file]).await;
    app.finish().await;
}

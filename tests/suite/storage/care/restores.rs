//! `pointsman restore`.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    time::Duration,
};

use serde_json::json;

use super::{events_in, names, path, refused, run};
use pointsman_test_kit::{Engine, LogWatch, Service, TestApp, Workspace};

/// A server with a backup of two events, and a third event after it. The service got them all.
async fn with_a_backup() -> (TestApp, Workspace, Service, Vec<String>, String) {
    let app = TestApp::start(Engine::Sqlite).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let mut events = workspace.publish_many("crm.deal.closed", 2).await;
    app.settled().await;
    let file = path(&app, "backup.db");
    run(&app, &["backup", &file]).await;
    events.push(workspace.publish("crm.deal.closed", json!({})).await);
    service.received(3).await;
    app.settled().await;
    (app, workspace, service, events, file)
}

/// The databases that were moved aside.
fn former(app: &TestApp) -> Vec<PathBuf> {
    let names = names(app, "pointsman.db.replaced-");
    names.iter().map(|name| app.folder().join(name)).collect()
}

#[actix_web::test]
async fn a_restored_database_serves_what_the_backup_had() {
    let (mut app, workspace, service, events, file) = with_a_backup().await;
    assert!(app.stop().await.success());
    let said = run(&app, &["restore", &file, "--replace"]).await;
    for part in [
        "is restored",
        "The former database is",
        "cookie.key",
        "start the server",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let database = app.folder().join("pointsman.db");
    assert_eq!(
        fs::metadata(&database).expect("it is there").permissions().mode() & 0o777,
        0o600
    );
    let sound = run(&app, &["check"]).await;
    assert!(sound.starts_with("nothing is wrong"), "{sound}");

    app.start_again().await;
    let shown: Vec<String> = workspace
        .events()
        .await
        .iter()
        .map(|event| event["id"].as_str().expect("an id").to_owned())
        .collect();
    assert!(events[..2].iter().all(|event| shown.contains(event)), "{shown:?}");
    assert!(!shown.contains(&events[2]), "{shown:?}");
    // The secret that it signs with was opened with the key that was left in place.
    workspace.publish("crm.deal.closed", json!({})).await;
    service.received(4).await;

    let former = former(&app);
    assert_eq!(former.len(), 1, "{former:?}");
    let kept = events_in(&former[0]).await;
    assert!(
        events.iter().all(|event| kept.contains(event)),
        "nothing is deleted"
    );
    app.finish().await;
}

#[actix_web::test]
async fn a_restore_refuses_a_running_server_and_a_database_that_it_was_not_told_to_replace() {
    let (mut app, _workspace, _service, events, file) = with_a_backup().await;
    let beside = app
        .run(&["restore", &file, "--replace"], |settings| settings)
        .await;
    refused(&beside, &["another process is using this database"]);
    assert!(app.stop().await.success());
    let untold = app.run(&["restore", &file], |settings| settings).await;
    refused(&untold, &["pointsman.db", "there is a database", "--replace"]);
    let missing = path(&app, "missing.db");
    let missing = app
        .run(&["restore", &missing, "--replace"], |settings| settings)
        .await;
    refused(&missing, &["missing.db", "there is no database"]);
    assert_eq!(names(&app, "pointsman.db"), ["pointsman.db", "pointsman.db.lock"]);
    let kept = events_in(&app.folder().join("pointsman.db")).await;
    assert!(events.iter().all(|event| kept.contains(event)));
    app.start_again().await;
    app.finish().await;
}

#[actix_web::test]
async fn a_restore_where_there_is_no_database_makes_one() {
    let (app, _workspace, _service, events, file) = with_a_backup().await;
    let database = app.folder().join("elsewhere/pointsman.db");
    let url = format!("sqlite://{}", database.display());
    let restored = app
        .run(&["restore", &file], |settings| settings.set("database.url", &url))
        .await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert!(!restored.stdout.contains("former"), "{restored:?}");
    let kept = events_in(&database).await;
    assert!(events[..2].iter().all(|event| kept.contains(event)));
    app.finish().await;
}

#[actix_web::test]
async fn a_database_that_root_restores_is_the_servers_own() {
    let (mut app, _workspace, _service, _events, file) = with_a_backup().await;
    assert!(app.stop().await.success());
    let database = app.folder().join("pointsman.db");
    let nobody = 65534;
    // Only root may give files away; elsewhere the owner stays the same.
    let given = std::os::unix::fs::chown(&database, Some(nobody), Some(nobody)).is_ok();
    run(&app, &["restore", &file, "--replace"]).await;
    let owner = fs::metadata(&database).expect("it is there");
    assert_eq!((owner.uid() == nobody, owner.gid() == nobody), (given, given));
    app.start_again().await;
    app.finish().await;
}

#[actix_web::test]
async fn what_is_only_in_the_log_of_the_former_database_goes_with_it_and_not_into_the_restored_one() {
    let (mut app, workspace, _service, mut events, file) = with_a_backup().await;
    events.push(workspace.publish("crm.deal.closed", json!({})).await);
    app.kill();
    assert!(fs::metadata(app.folder().join("pointsman.db-wal")).is_ok_and(|log| log.len() > 0));
    run(&app, &["restore", &file, "--replace"]).await;
    assert!(!app.folder().join("pointsman.db-wal").exists());
    assert!(!app.folder().join("pointsman.db-shm").exists());
    let kept = events_in(&former(&app)[0]).await;
    assert!(events.iter().all(|event| kept.contains(event)), "nothing is lost");
    run(&app, &["check"]).await;
    app.start_again().await;
    app.finish().await;
}

#[actix_web::test]
async fn a_database_that_cannot_be_opened_is_moved_aside_with_its_log() {
    let (mut app, workspace, _service, _events, file) = with_a_backup().await;
    // The log has only some pages then.
    app.restart().await;
    workspace.publish("crm.deal.closed", json!({})).await;
    app.kill();
    let database = app.folder().join("pointsman.db");
    let log = fs::read(app.folder().join("pointsman.db-wal")).expect("a killed server leaves its log");
    fs::write(&database, "no database at all").expect("the file can be written");
    let restored = app
        .run(&["restore", &file, "--replace"], |settings| settings)
        .await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert!(
        restored.stderr.contains("its write-ahead log is moved with it"),
        "{restored:?}"
    );
    let former = former(&app);
    assert_eq!(fs::read(&former[0]).expect("it is kept"), b"no database at all");
    assert!(
        former
            .iter()
            .any(|path| fs::read(path).is_ok_and(|bytes| bytes == log)),
        "{former:?}"
    );
    run(&app, &["check"]).await;
    app.start_again().await;
    app.finish().await;
}

#[actix_web::test]
async fn what_is_no_sound_backup_is_refused_and_the_database_stays() {
    let (mut app, _workspace, _service, events, file) = with_a_backup().await;
    assert!(app.stop().await.success());
    let bytes = fs::read(&file).expect("the backup can be read");
    let cut = path(&app, "cut.db");
    fs::write(&cut, &bytes[..bytes.len() / 2]).expect("a file can be written");
    let text = path(&app, "notes.txt");
    fs::write(
        &text,
        "not a database, but long enough for somebody to believe that it is one",
    )
    .expect("a file");
    let other = path(&app, "other.db");
    let connection = sea_orm::Database::connect(format!("sqlite://{other}?mode=rwc")).await;
    let connection = connection.expect("a database can be made");
    let table = sea_orm::ConnectionTrait::execute_unprepared(&connection, "CREATE TABLE notes (text)").await;
    table.expect("a table can be made");
    connection.close().await.expect("a connection can be closed");
    for (backup, said) in [
        (&cut, "the database is damaged"),
        (&text, "not a database"),
        (&other, "no database of Pointsman"),
    ] {
        let ended = app
            .run(&["restore", backup, "--replace"], |settings| settings)
            .await;
        refused(&ended, &[said]);
        assert_eq!(
            names(&app, "pointsman.db"),
            ["pointsman.db", "pointsman.db.lock"],
            "{backup}"
        );
    }
    let kept = events_in(&app.folder().join("pointsman.db")).await;
    assert!(events.iter().all(|event| kept.contains(event)));
    app.start_again().await;
    app.finish().await;
}

#[actix_web::test]
async fn a_restore_that_is_killed_leaves_the_former_database_or_the_restored_one() {
    let (mut app, workspace, _service, events, _) = with_a_backup().await;
    LogWatch::of(&app).under_load(&app, 100).await;
    let file = path(&app, "larger.db");
    run(&app, &["backup", &file]).await;
    let later = workspace.publish("crm.deal.closed", json!({})).await;
    app.kill();
    let mut killed = 0;
    for after in (0..15).map(|step| Duration::from_millis(10 * step)) {
        let ended = app.run_and_die(&["restore", &file, "--replace"], after).await;
        killed += u32::from(ended.is_none());
        assert!(
            ended.as_ref().is_none_or(|ended| ended.code == Some(0)),
            "{ended:?}"
        );
        run(&app, &["check"]).await;
        let in_place = events_in(&app.folder().join("pointsman.db")).await;
        assert!(
            events.iter().all(|event| in_place.contains(event)),
            "after {after:?}"
        );
        if !in_place.contains(&later) {
            let mut kept = Vec::new();
            for former in former(&app) {
                kept.extend(events_in(&former).await);
            }
            assert!(kept.contains(&later), "after {after:?}");
        }
    }
    assert!(killed > 0, "no restore was killed");
    run(&app, &["restore", &file, "--replace"]).await;
    assert!(names(&app, "pointsman.db.restoring").is_empty());
    app.start_again().await;
    app.finish().await;
}

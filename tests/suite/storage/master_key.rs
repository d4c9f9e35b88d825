//! The master key: a server with another one than its database was used with does not start, and `accept-key` is the
//! way on where the former key is lost.

use std::{
    fs,
    path::{Path, PathBuf},
};

use entity::master_key_check;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};

use pointsman_test_kit::{
    ADMIN_EMAIL, ADMIN_PASSWORD, Ended, Engine, Service, TestApp, Workspace, is_signed, on_both_engines,
};

on_both_engines! {
    another_key_ends_the_start_with_what_to_do,
    a_database_of_an_earlier_version_gets_its_check_value_from_a_key_that_opens_its_secrets,
    a_database_of_an_earlier_version_without_a_secret_takes_any_key,
    who_has_lost_the_key_accepts_another_and_mends_each_extension,
    a_former_secret_that_cannot_be_opened_does_not_stop_deliveries,
    commands_that_need_no_key_make_none,
    accepting_the_right_key_changes_nothing,
    a_host_of_its_own_is_refused_another_key_too,
}

/// Where the server keeps the key that it has made.
fn key_file(app: &TestApp, engine: Engine) -> PathBuf {
    let folder = match engine {
        Engine::Sqlite => app.folder().to_owned(),
        Engine::Postgres => app.folder().join("data"),
    };
    folder.join("cookie.key")
}

/// The key file is gone, as with a container that has no volume; the next start makes another.
fn lose(key: &Path) -> Vec<u8> {
    let bytes = fs::read(key).expect("the server has made a key");
    fs::remove_file(key).expect("the key can be removed");
    bytes
}

async fn serve(app: &TestApp) -> Ended {
    app.run(&["serve"], |settings| settings).await
}

#[track_caller]
fn refused(ended: &Ended, key: &Path) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    let key = key
        .file_name()
        .and_then(|name| name.to_str())
        .expect("it has a name");
    for part in [key, "not the master key", "backup", "pointsman accept-key"] {
        assert!(ended.stderr.contains(part), "{part} in {ended:?}");
    }
}

/// Stops the server, and forgets the check value as an earlier version had none.
async fn stop_as_an_earlier_version(app: &mut TestApp) {
    assert!(app.stop().await.success());
    let database = app.database().await;
    let forgotten = master_key_check::Entity::delete_many().exec(&database).await;
    assert_eq!(forgotten.expect("the row can be removed").rows_affected, 1);
    database.close().await.expect("a connection can be closed");
}

async fn check_values(app: &TestApp) -> Vec<Vec<u8>> {
    let database = app.database().await;
    let rows = master_key_check::Entity::find().all(&database).await;
    database.close().await.expect("a connection can be closed");
    let rows = rows.expect("the table can be read");
    rows.into_iter().map(|row| row.value).collect()
}

/// An extension with a header, subscribed to everything.
async fn install(workspace: &Workspace, key: &str, service: &Service) -> pointsman_test_kit::Extension {
    let extension = workspace
        .install_external(key, service)
        .subscribed_to(&["**"])
        .await;
    extension.update(json!({"headers": {"x-token": "secret"}})).await;
    extension
}

async fn another_key_ends_the_start_with_what_to_do(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let key = key_file(&app, engine);
    assert!(app.stop().await.success());
    // The start is refused also where only sessions are sealed.
    let kept = lose(&key);
    refused(&serve(&app).await, &key);
    refused(&serve(&app).await, &key);
    if engine == Engine::Sqlite {
        let log = app.folder().join("pointsman.db-wal");
        assert!(!log.exists(), "a start that is refused leaves what there was");
    }

    fs::write(&key, &kept).expect("the key can be put back");
    app.start_again().await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = install(&workspace, "crm", &service).await;
    service.knows_secret(&crm.secret);
    app.restart().await;
    workspace.publish("crm.deal.closed", json!({})).await;
    assert!(is_signed(&service.received(1).await[0]));
    // The check value is no part of the key.
    let stored = check_values(&app).await;
    assert_eq!(stored.len(), 1);
    assert!(
        !kept
            .windows(4)
            .any(|part| stored[0].windows(4).any(|other| part == other))
    );
    app.finish().await;
}

async fn a_database_of_an_earlier_version_gets_its_check_value_from_a_key_that_opens_its_secrets(
    engine: Engine,
) {
    let mut app = TestApp::start(engine).await;
    let key = key_file(&app, engine);
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    install(&workspace, "crm", &service).await;
    let before = check_values(&app).await;
    stop_as_an_earlier_version(&mut app).await;

    let kept = lose(&key);
    refused(&serve(&app).await, &key);
    assert!(
        check_values(&app).await.is_empty(),
        "a start that is refused stores nothing"
    );
    fs::write(&key, kept).expect("the key can be put back");
    app.start_again().await;
    assert_eq!(check_values(&app).await, before);
    app.restart().await;
    app.finish().await;
}

async fn a_database_of_an_earlier_version_without_a_secret_takes_any_key(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let key = key_file(&app, engine);
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    // What is uninstalled needs its secret no longer.
    install(&workspace, "crm", &service).await.uninstall().await;
    let before = check_values(&app).await;
    stop_as_an_earlier_version(&mut app).await;
    lose(&key);
    app.start_again().await;
    let after = check_values(&app).await;
    assert!(after.len() == 1 && after != before);
    app.finish().await;
}

async fn who_has_lost_the_key_accepts_another_and_mends_each_extension(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let key = key_file(&app, engine);
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = install(&workspace, "crm", &service).await;
    let plain = workspace
        .install_external("plain", &service)
        .subscribed_to(&[])
        .await;
    assert!(app.stop().await.success());
    lose(&key);
    refused(&serve(&app).await, &key);

    let accepted = app.run(&["accept-key"], |settings| settings).await;
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    for part in ["2 extensions in 1 workspace", "rotate-secret"] {
        assert!(accepted.stdout.contains(part), "{part} in {accepted:?}");
    }
    app.start_again().await;
    app.admin = app.anonymous().login(ADMIN_EMAIL, ADMIN_PASSWORD).await;
    let workspace = workspace.seen_by(&app.admin);

    let unreadable = async |id: &str| {
        let listed = workspace.get("/extensions").await.expect(200).rows();
        let row = listed
            .into_iter()
            .find(|row| row["id"] == id)
            .expect("it is listed");
        let shown = workspace
            .get(&format!("/extensions/{id}"))
            .await
            .expect(200)
            .data();
        assert_eq!(row["unreadable"], shown["unreadable"]);
        shown["unreadable"].clone()
    };
    assert_eq!(unreadable(&crm.id).await, json!(["signingSecret", "headers"]));
    let renamed = app
        .api("PATCH", &crm.path(""), Some(&json!({"name": "CRM 2"})))
        .await
        .expect(200);
    assert_eq!(renamed.data()["unreadable"], json!(["signingSecret", "headers"]));

    let lost = workspace.publish("crm.deal.closed", json!({})).await;
    workspace.becomes(&lost, &crm, "DEAD").await;
    let attempt = workspace.attempts_become(3, &lost, &crm).await.remove(0);
    assert_eq!(attempt["outcome"], "MISCONFIGURED", "{attempt}");
    let error = attempt["error"].as_str().unwrap_or_default();
    assert!(
        error.contains("signing secret") && error.contains("rotate-secret"),
        "{error}"
    );
    let tested = app.api("POST", &crm.path("/test"), None).await.expect(200).data();
    assert_eq!(tested["outcome"], "MISCONFIGURED", "{tested}");

    let secret = rotated(&app, &crm.path("")).await;
    assert_eq!(unreadable(&crm.id).await, json!(["headers"]));
    let tested = app.api("POST", &crm.path("/test"), None).await.expect(200).data();
    let error = tested["error"].as_str().unwrap_or_default();
    assert!(error.contains("headers"), "{tested}");
    let set = app
        .api(
            "PATCH",
            &crm.path(""),
            Some(&json!({"headers": {"x-token": "new"}})),
        )
        .await
        .expect(200);
    assert_eq!(set.data()["unreadable"], Value::Null);
    assert_eq!(set.data()["headerNames"], json!(["x-token"]));

    service.knows_secret(&secret);
    let letter = workspace.dead_letters_become(1, "status=DEAD").await.remove(0);
    let letter = letter["id"].as_str().expect("a letter has an id");
    workspace.replay(letter).await.expect(202);
    let received = service.received(1).await.remove(0);
    assert!(is_signed(&received));
    assert_eq!(received.header("x-token"), Some("new"));
    workspace.letter_becomes(letter, "REPLAYED").await;
    assert_eq!(unreadable(&crm.id).await, Value::Null);
    assert_eq!(unreadable(&plain.id).await, json!(["signingSecret"]));
    app.restart().await;
    app.finish().await;
}

async fn rotated(app: &TestApp, extension: &str) -> String {
    let rotated = app.api("POST", &format!("{extension}/rotate-secret"), None).await;
    let secret = rotated.expect(200).data()["signingSecret"].clone();
    secret.as_str().expect("the new secret is shown").to_owned()
}

async fn a_former_secret_that_cannot_be_opened_does_not_stop_deliveries(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let key = key_file(&app, engine);
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["**"])
        .await;
    assert!(app.stop().await.success());
    lose(&key);
    let accepted = app.run(&["accept-key"], |settings| settings).await;
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    app.start_again().await;
    app.admin = app.anonymous().login(ADMIN_EMAIL, ADMIN_PASSWORD).await;
    let workspace = workspace.seen_by(&app.admin);
    let set = app
        .api("PATCH", &crm.path(""), Some(&json!({"headers": {}})))
        .await;
    set.expect(200);
    service.knows_secret(&rotated(&app, &crm.path("")).await);
    // For 24 h the former secret would sign beside the new one.
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    workspace.becomes(&event, &crm, "DELIVERED").await;
    assert!(is_signed(&service.received(1).await[0]));
    app.finish().await;
}

async fn commands_that_need_no_key_make_none(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let key = key_file(&app, engine);
    assert!(app.stop().await.success());
    let kept = lose(&key);
    for arguments in [
        &["migrate"][..],
        &[
            "user",
            "add",
            "--email",
            "eve@pointsman.test",
            "--password",
            "long enough",
        ],
        &["workspace", "add", "--name", "globex"],
    ] {
        let ended = app.run(arguments, |settings| settings).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!key.exists(), "{arguments:?}");
    }
    fs::write(&key, kept).expect("the key can be put back");
    app.start_again().await;
    app.finish().await;
}

async fn accepting_the_right_key_changes_nothing(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = install(&workspace, "crm", &service).await;
    let running = app.run(&["accept-key"], |settings| settings).await;
    assert_eq!(running.code, Some(2), "{running:?}");
    assert!(
        running.stderr.contains("another process is using this database"),
        "{running:?}"
    );
    assert!(app.stop().await.success());
    let accepted = app.run(&["accept-key"], |settings| settings).await;
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    assert!(accepted.stdout.contains("opens every secret"), "{accepted:?}");
    app.start_again().await;
    assert_eq!(crm.shown().await["unreadable"], Value::Null);
    app.finish().await;
}

#[actix_web::test]
async fn accepting_a_key_makes_no_database() {
    let app = TestApp::start(Engine::Sqlite).await;
    let elsewhere = app.folder().join("elsewhere.db");
    let url = format!("sqlite://{}", elsewhere.display());
    let ended = app
        .run(&["accept-key"], |settings| settings.set("database.url", url))
        .await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    for part in ["there is no database", "elsewhere.db", "--config"] {
        assert!(ended.stderr.contains(part), "{part} in {ended:?}");
    }
    assert!(!elsewhere.exists());
    app.finish().await;
}

async fn a_host_of_its_own_is_refused_another_key_too(engine: Engine) {
    let mut app = TestApp::with(engine, |settings| settings.example("test_host")).await;
    let key = key_file(&app, engine);
    assert!(app.stop().await.success());
    let kept = lose(&key);
    let ended = serve(&app).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("this is not the master key"), "{ended:?}");
    fs::write(&key, kept).expect("the key can be put back");
    app.start_again().await;
    app.finish().await;
}

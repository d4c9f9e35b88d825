//! A server that must not start says why in one line, and its exit code is 2.

use sea_orm::ConnectionTrait as _;

use pointsman_test_kit::{Ended, Engine, TestApp, TestDatabase, on_both_engines};

on_both_engines! {
    a_second_process_on_the_same_database_is_refused,
    a_database_of_a_newer_version_is_refused,
    a_bad_setting_is_named_with_what_is_allowed,
    the_command_line_adds_users_and_workspaces,
}

#[track_caller]
fn refused(ended: &Ended, expected: &[&str]) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{ended:?}");
    for part in expected {
        assert!(lines[0].contains(part), "{part} in {ended:?}");
    }
}

async fn a_second_process_on_the_same_database_is_refused(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    for arguments in [
        &["serve"][..],
        &[],
        &["migrate"],
        &["workspace", "add", "--name", "globex"],
    ] {
        let second = app.run(arguments, |settings| settings).await;
        refused(&second, &["another process is using this database"]);
    }
    app.admin.get("/readyz").await.expect(200);
    // The claim ends with its holder, however that ends.
    app.kill();
    app.start_again().await;
    app.restart().await;
    app.finish().await;
}

#[actix_web::test]
async fn a_link_to_the_database_is_the_same_database() {
    let app = TestApp::start(Engine::Sqlite).await;
    let (folder, elsewhere) = (app.folder(), app.folder().join("elsewhere"));
    std::fs::create_dir(&elsewhere).expect("a folder can be made");
    let link = elsewhere.join("link.db");
    std::os::unix::fs::symlink(folder.join("pointsman.db"), &link).expect("a link can be made");
    let url = format!("sqlite://{}", link.display());
    let second = app
        .run(&["migrate"], |settings| settings.set("database.url", url))
        .await;
    refused(&second, &["another process is using this database"]);
    app.finish().await;
}

async fn a_database_of_a_newer_version_is_refused(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    assert!(app.stop().await.success());
    let database = app.database().await;
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_later', 0)";
    database
        .execute_unprepared(newer)
        .await
        .expect("a row can be added");
    refused(
        &app.run(&["serve"], |settings| settings).await,
        &["newer version", "m29991231_000001_later"],
    );

    let undo = "DELETE FROM seaql_migrations WHERE version = 'm29991231_000001_later'";
    database
        .execute_unprepared(undo)
        .await
        .expect("a row can be removed");
    database.close().await.expect("a connection can be closed");
    app.start_again().await;
    app.finish().await;
}

#[actix_web::test]
async fn a_database_that_is_not_utf8_is_refused_before_anything_is_written() {
    let app = TestApp::start(Engine::Sqlite).await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let database = TestDatabase::encoded(encoding).await;
        for arguments in [
            &["serve"][..],
            &["migrate"],
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
            let ended = app
                .run(arguments, |settings| settings.set("database.url", &database.url))
                .await;
            refused(&ended, &[encoding, "UTF8"]);
        }
        let connection = database.connect().await;
        let tables = "SELECT 1 FROM pg_tables WHERE schemaname = 'public'";
        let left = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, tables);
        let left = connection
            .query_all_raw(left)
            .await
            .expect("the catalog can be read");
        assert!(left.is_empty(), "nothing was written");
        connection.close().await.expect("a connection can be closed");
        database.drop().await;
    }
    app.finish().await;
}

async fn a_bad_setting_is_named_with_what_is_allowed(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    assert!(app.stop().await.success());
    for (key, value, allowed) in [
        ("delivery.timeout", "soon", "duration"),
        ("delivery.retry_schedule", "5s", "list"),
        ("server.port", "70000", "65535"),
        ("database.url", "mysql://localhost/x", "sqlite://"),
    ] {
        let ended = app.run(&["serve"], |settings| settings.set(key, value)).await;
        refused(&ended, &[key, allowed]);
        assert!(key == "database.url" || ended.stderr.contains(value), "{ended:?}");
    }
    refused(
        &app.run(&["serve"], |settings| settings.set("delivery.colour", "red"))
            .await,
        &["POINTSMAN__DELIVERY__COLOUR"],
    );
    refused(
        &app.run(&["--config", "missing.toml"], |settings| settings).await,
        &["missing.toml"],
    );
    app.start_again().await;
    app.finish().await;
}

async fn the_command_line_adds_users_and_workspaces(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    assert!(app.stop().await.success());
    for arguments in [
        &["migrate"][..],
        &[
            "user",
            "add",
            "--email",
            "eve@pointsman.test",
            "--password",
            "long enough",
            "--role",
            "admin",
        ],
        &["workspace", "add", "--name", "globex"],
    ] {
        let ended = app.run(arguments, |settings| settings).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let again = [
        "user",
        "add",
        "--email",
        "eve@pointsman.test",
        "--password",
        "long enough",
    ];
    refused(
        &app.run(&again, |settings| settings).await,
        &["eve@pointsman.test"],
    );

    app.start_again().await;
    let eve = app.anonymous().login("eve@pointsman.test", "long enough").await;
    let names: Vec<String> = eve
        .get("/api/workspaces")
        .await
        .expect(200)
        .rows()
        .iter()
        .filter_map(|row| row["name"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(names, ["globex", "demo"]);
    app.finish().await;
}

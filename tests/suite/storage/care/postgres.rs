//! Backups of PostgreSQL are made with its own tools, as `docs/operations.md` says.

use std::process::Command;

use futures_util::future::join;
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::{path, refused, run};
use pointsman_test_kit::{Engine, Load, Service, TestApp, postgres_tool};

/// Runs a program of PostgreSQL.
async fn tool(name: &'static str, arguments: &[&str]) {
    let mut command = Command::new(postgres_tool(name));
    command.args(arguments);
    let output = spawn_blocking(move || command.output())
        .await
        .expect("waiting does not panic");
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[actix_web::test]
async fn a_dump_under_load_is_restored_checked_and_served() {
    let mut app = TestApp::start(Engine::Postgres).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let (url, file) = (app.database_url().to_owned(), path(&app, "pointsman.dump"));
    let load = Load::on(&workspace);
    let dumped = async {
        load.acknowledges(200).await;
        let acknowledged = load.ledger().acknowledged;
        tool("pg_dump", &["--format=custom", "--file", &file, &url]).await;
        load.acknowledges(50).await;
        load.stop();
        acknowledged
    };
    let ((), acknowledged) = join(load.publish(), dumped).await;
    assert!(app.stop().await.success());

    // As good as a new database.
    let database = app.database().await;
    for sql in ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"] {
        database.execute_unprepared(sql).await.expect("it is ours");
    }
    database.close().await.expect("a connection can be closed");
    tool(
        "pg_restore",
        &["--exit-on-error", "--no-owner", "--dbname", &url, &file],
    )
    .await;
    let sound = run(&app, &["check"]).await;
    assert!(sound.starts_with("nothing is wrong"), "{sound}");
    app.start_again().await;
    for (_, event) in &acknowledged {
        workspace.event(event).await;
    }
    workspace.publish("crm.deal.closed", json!({})).await;
    app.settled().await;
    app.finish().await;
}

#[actix_web::test]
async fn backup_and_restore_name_the_tools_of_postgresql() {
    let app = TestApp::start(Engine::Postgres).await;
    let file = path(&app, "backup.db");
    for (command, tool) in [("backup", "pg_dump"), ("restore", "pg_restore")] {
        let ended = app.run(&[command, &file], |settings| settings).await;
        refused(&ended, &["PostgreSQL", tool]);
    }
    app.finish().await;
}

//! A workspace that is deleted is gone at once for everybody, and all of its rows are gone in the end.

use std::collections::BTreeMap;

use pointsman_receive::Behavior;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use serde_json::json;

use pointsman_test_kit::{Engine, Service, TestApp, Workspace, eventually, on_both_engines};

on_both_engines! {
    a_deleted_workspace_is_unknown_at_once_and_its_neighbour_goes_on,
    a_deletion_goes_on_after_a_kill,
    nothing_is_delivered_any_more_once_a_workspace_is_deleted,
}

async fn delete(workspace: &Workspace) {
    workspace.caller.delete(&workspace.path("")).await.expect(202);
}

/// How many rows each table has of the workspace, by the columns that the schema itself names.
async fn rows_of(database: &DatabaseConnection, workspace: &Workspace) -> BTreeMap<String, i64> {
    let id: uuid::Uuid = workspace.id.parse().expect("an id");
    let backend = database.get_database_backend();
    let (tables, placeholder) = match backend {
        DbBackend::Sqlite => (
            "SELECT m.name AS tbl FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND c.name = 'workspace_id'",
            "?",
        ),
        _ => (
            "SELECT table_name::TEXT AS tbl FROM information_schema.columns \
             WHERE table_schema = current_schema() AND column_name = 'workspace_id'",
            "$1",
        ),
    };
    let tables = database
        .query_all_raw(Statement::from_string(backend, tables))
        .await;
    let mut rows = BTreeMap::new();
    for table in tables.expect("the schema can be read") {
        let table: String = table.try_get("", "tbl").expect("a name");
        let sql = format!("SELECT COUNT(*) AS found FROM {table} WHERE workspace_id = {placeholder}");
        let count = Statement::from_sql_and_values(backend, sql, [id.into()]);
        let row = database
            .query_one_raw(count)
            .await
            .expect("the rows can be counted");
        let found = row.expect("a count is a row").try_get("", "found");
        rows.insert(table, found.expect("a number"));
    }
    rows
}

async fn all_of_it_goes(app: &TestApp, workspace: &Workspace) {
    let database = app.database().await;
    eventually("no row is left", async || {
        let rows = rows_of(&database, workspace).await;
        if rows.values().all(|count| *count == 0) {
            Ok(())
        } else {
            Err(format!("{rows:?}"))
        }
    })
    .await;
    database.close().await.expect("a connection can be closed");
}

async fn a_deleted_workspace_is_unknown_at_once_and_its_neighbour_goes_on(engine: Engine) {
    let app = TestApp::start(engine).await;
    let (gone, stays) = (app.workspace("acme").await, app.workspace("globex").await);
    let gives_up = Service::behaving(Behavior {
        status: 410,
        ..Behavior::default()
    })
    .await;
    let takes = Service::start().await;
    gone.install_external("crm", &gives_up)
        .subscribed_to(&["crm.**"])
        .await;
    stays
        .install_external("crm", &takes)
        .subscribed_to(&["crm.**"])
        .await;
    let member = app.member(&gone, "ann", "ADMIN").await;
    let of_member = gone.seen_by(&member.caller);
    let event = of_member.publish("crm.deal.closed", json!({})).await;
    let letter = gone.dead_letters_become(1, "").await[0]["id"].clone();
    stays.publish_many("crm.deal.closed", 10).await;

    delete(&gone).await;

    let letter = format!("/events/dead-letters/{}", letter.as_str().expect("an id"));
    for path in [
        "",
        "/events",
        &format!("/events/{event}"),
        "/extensions",
        "/channels",
        &letter,
    ] {
        gone.get(path).await.expect_problem(404, "NOT_FOUND");
        of_member.get(path).await.expect_problem(403, "FORBIDDEN");
    }
    gone.publish_raw("{}").await.expect_problem(404, "NOT_FOUND");
    of_member.publish_raw("{}").await.expect_problem(403, "FORBIDDEN");
    gone.put_member(&member.id, "ADMIN")
        .await
        .expect_problem(404, "NOT_FOUND");
    let again = gone.caller.delete(&gone.path("")).await;
    again.expect_problem(404, "NOT_FOUND");
    let letters = gone.caller.get("/api/dead-letters").await.expect(200).rows();
    assert!(letters.is_empty(), "{letters:?}");
    let listed = member.caller.get("/api/workspaces").await.expect(200).rows();
    assert!(listed.is_empty(), "{listed:?}");

    stays.publish_many("crm.deal.closed", 10).await;
    takes.received(20).await;
    all_of_it_goes(&app, &gone).await;
    assert_eq!(stays.events().await.len(), 20);
    app.finish().await;
    assert_eq!(takes.count(), 20);
}

async fn nothing_is_delivered_any_more_once_a_workspace_is_deleted(engine: Engine) {
    let app = TestApp::with(engine, |settings| {
        settings
            .retrying_after(&["10ms"; 100])
            .set("delivery.breaker_failures", 1_000_000)
    })
    .await;
    let (gone, stays) = (app.workspace("acme").await, app.workspace("globex").await);
    let fails = Service::behaving(Behavior {
        status: 500,
        ..Behavior::default()
    })
    .await;
    gone.install_external("crm", &fails)
        .subscribed_to(&["crm.**"])
        .await;
    gone.publish_many("crm.deal.closed", 20).await;
    fails.received(40).await;

    delete(&gone).await;

    // What was under way when the workspace was deleted has been cut off, and may be counted still.
    let others = Service::start().await;
    stays
        .install_external("crm", &others)
        .subscribed_to(&["crm.**"])
        .await;
    stays.publish("crm.deal.closed", json!({})).await;
    others.received(1).await;
    let count = fails.count();
    for _ in 0..20 {
        stays.publish("crm.deal.closed", json!({})).await;
    }
    others.received(21).await;
    all_of_it_goes(&app, &gone).await;
    assert_eq!(fails.count(), count);
    app.finish().await;
}

async fn a_deletion_goes_on_after_a_kill(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let (gone, stays) = (app.workspace("acme").await, app.workspace("globex").await);
    let service = Service::start().await;
    gone.install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    stays.publish_many("crm.deal.closed", 20).await;
    for _ in 0..4 {
        gone.publish_many("crm.deal.closed", 500).await;
    }
    service.received(2000).await;

    delete(&gone).await;
    app.kill();
    for _ in 0..3 {
        app.start_again().await;
        gone.get("").await.expect_problem(404, "NOT_FOUND");
        app.kill();
    }
    app.start_again().await;

    stays.publish("crm.deal.closed", json!({})).await;
    all_of_it_goes(&app, &gone).await;
    assert_eq!(stays.events().await.len(), 21);
    let checked = app.run(&["check"], |settings| settings).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    app.finish().await;
}

//! A start among many workspaces that are idle finds those in which something is due.

use pointsman_clock::Clock;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};

use pointsman_test_kit::{Engine, Service, TestApp, eventually, on_both_engines};

on_both_engines! {
    a_start_wakes_every_workspace_in_which_something_is_due_and_forgets_the_idle_ones,
}

/// Workspaces, each with a copy of the installation and of its subscription. As the migration leaves a database of an
/// earlier version, all of them are marked as due.
const WORKSPACES: u64 = 2_000;
/// One of so many has an event before its cursor.
const ONE_OF: u64 = 50;

async fn a_start_wakes_every_workspace_in_which_something_is_due_and_forgets_the_idle_ones(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    assert!(app.stop().await.success());
    fill(&app, engine).await;

    app.start_again().await;
    let due = WORKSPACES / ONE_OF;
    service.received(due).await;
    // The others are looked at as well, a page at a time, and have no row any more. Those that are active keep theirs
    // until they rest.
    let database = app.database().await;
    let most = i64::try_from(due + 10).expect("it is small");
    eventually("the idle ones have no row", async || {
        let sql = "SELECT COUNT(*) AS marked FROM workspace_due";
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let row = database.query_one_raw(statement).await;
        let row = row.expect("the rows can be counted").expect("a count is a row");
        let marked: i64 = row.try_get("", "marked").expect("it is a number");
        if marked <= most {
            Ok(())
        } else {
            Err(format!("{marked} rows"))
        }
    })
    .await;
    database.close().await.expect("a connection can be closed");
    assert_eq!(service.count(), due, "nothing is delivered twice");
    app.finish().await;
}

/// Rows as the journal would have written them.
async fn fill(app: &TestApp, engine: Engine) {
    let database = app.database().await;
    let backend = database.get_database_backend();
    assert_eq!(backend == DbBackend::Sqlite, engine == Engine::Sqlite);
    let (numbers, id) = match engine {
        Engine::Sqlite => (
            format!(
                "(WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {WORKSPACES}) \
                 SELECT i FROM n)"
            ),
            "unhex(printf('%032x', {i}))",
        ),
        Engine::Postgres => (
            format!("(SELECT i FROM generate_series(1, {WORKSPACES}) AS n (i))"),
            "CAST(lpad(to_hex({i}), 32, '0') AS UUID)",
        ),
    };
    let id = |i: &str| id.replace("{i}", i);
    let (workspace, installation, span, event) = (
        id("n.i"),
        id("n.i + 1000000"),
        id("n.i + 2000000"),
        id("n.i + 3000000"),
    );
    let now = Clock.wall().millis();
    let statements = [
        format!(
            "INSERT INTO workspace (id, name, created_at) SELECT {workspace}, 'w' || n.i, 0 FROM {numbers} AS n"
        ),
        format!(
            "INSERT INTO ext_installation (id, workspace_id, key, name, delivery_type, service_base_url, \
             signing_secret, headers, enabled, paused, available, ordered, revision, installed_at, installed_seq, \
             closed) SELECT {installation}, {workspace}, 'crm', 'CRM', c.delivery_type, c.service_base_url, \
             c.signing_secret, c.headers, TRUE, FALSE, TRUE, FALSE, 1, 0, 0, FALSE \
             FROM {numbers} AS n, (SELECT * FROM ext_installation WHERE key = 'crm') AS c"
        ),
        format!(
            "INSERT INTO ext_event_subscription (id, subscription_id, installation_id, workspace_id, event_key, \
             from_seq, is_current, created_at) SELECT {span}, {span}, {installation}, {workspace}, 'crm.**', 0, TRUE, \
             0 FROM {numbers} AS n"
        ),
        format!(
            "INSERT INTO platform_event (workspace_id, seq, id, event_key, payload, occurred_at) \
             SELECT {workspace}, 1, {event}, 'crm.deal.closed', '{{}}', {now} FROM {numbers} AS n"
        ),
        format!(
            "INSERT INTO ext_delivery_cursor (installation_id, workspace_id, settled_seq, generation) \
             SELECT {installation}, {workspace}, CASE WHEN n.i % {ONE_OF} = 0 THEN 0 ELSE 1 END, 0 \
             FROM {numbers} AS n"
        ),
        format!("INSERT INTO workspace_due (workspace_id, due_at) SELECT {workspace}, 0 FROM {numbers} AS n"),
    ];
    for statement in statements {
        let done = database.execute_unprepared(&statement).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    database.close().await.expect("a connection can be closed");
}

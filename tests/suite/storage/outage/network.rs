//! What happens between the server and PostgreSQL.

use futures_util::future::join;
use sea_orm::{ConnectionTrait as _, Statement};

use super::{is_not_ready, is_ready, log, nothing_was_lost, numbers, workspace};
use pointsman_test_kit::{CommitFate, GatedService, Load, Service, TestApp, Workspace, eventually};

/// How many further publishes show that the server works.
const MANY: u64 = 40;

/// Publishes while the script runs, then looks at what became of it.
async fn under_load(
    app: &TestApp,
    workspace: &Workspace,
    service: &Service,
    script: impl AsyncFnOnce(&Load),
) {
    let load = Load::on(workspace);
    let scripted = async {
        load.acknowledges(MANY).await;
        script(&load).await;
        load.acknowledges(MANY).await;
        is_ready(app).await;
        load.stop();
    };
    join(load.publish(), scripted).await;
    nothing_was_lost(app, workspace, service, &load.ledger()).await;
}

#[actix_web::test]
async fn connections_that_are_cut_are_made_anew() {
    let (app, proxy) = TestApp::behind_proxy(|settings| settings).await;
    let (workspace, service) = workspace(&app).await;
    under_load(&app, &workspace, &service, async |load| {
        for _ in 0..3 {
            proxy.cut();
            load.acknowledges(MANY).await;
        }
    })
    .await;
    app.finish().await;
}

#[actix_web::test]
async fn a_database_that_falls_silent_is_told_to_publishers_in_time() {
    let (app, proxy) = TestApp::behind_proxy(|settings| settings).await;
    let (workspace, service) = workspace(&app).await;
    under_load(&app, &workspace, &service, async |load| {
        proxy.hang();
        load.is_refused(MANY).await;
        is_not_ready(&app).await;
        let read = workspace.get("/events").await;
        read.expect_problem(503, "STORAGE_UNAVAILABLE");
        proxy.forward();
    })
    .await;
    app.finish().await;
}

#[actix_web::test]
async fn a_database_that_is_down_is_told_to_publishers_at_once() {
    let (app, proxy) = TestApp::behind_proxy(|settings| settings).await;
    let (workspace, service) = workspace(&app).await;
    under_load(&app, &workspace, &service, async |load| {
        proxy.refuse();
        load.is_refused(MANY).await;
        is_not_ready(&app).await;
        proxy.forward();
    })
    .await;
    app.finish().await;
}

/// The backends that hold the claim of this server's database.
async fn claimants(app: &TestApp) -> Vec<i32> {
    let database = app.database().await;
    let sql = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
    let rows = database
        .query_all_raw(statement)
        .await
        .expect("the locks can be read");
    database.close().await.expect("a connection can be closed");
    rows.iter()
        .map(|row| row.try_get_by_index(0).expect("a process id"))
        .collect()
}

#[actix_web::test]
async fn an_old_backend_that_a_failover_leaves_alive_does_not_keep_the_claim() {
    let (app, proxy) = TestApp::behind_proxy(|settings| settings).await;
    let (workspace, service) = workspace(&app).await;
    let before = claimants(&app).await;
    assert_eq!(before.len(), 1, "one writer");
    under_load(&app, &workspace, &service, async |_| proxy.cut_leaving_backends()).await;
    let after = claimants(&app).await;
    assert_eq!(after.len(), 1, "one writer");
    assert_ne!(after, before, "the old backend writes no more");
    app.finish().await;
}

#[actix_web::test]
async fn a_commit_of_unknown_outcome_never_becomes_two_events_under_one_key() {
    let (app, proxy) = TestApp::behind_proxy(|settings| settings).await;
    let (workspace, service) = workspace(&app).await;
    let load = Load::keyed_on(&workspace);
    let scripted = async {
        for fate in [
            CommitFate::AppliedThenCut,
            CommitFate::LostOnTheWay,
            CommitFate::AppliedThenSilent,
        ] {
            load.acknowledges(MANY).await;
            proxy.spoil_commit(fate).await;
        }
        load.acknowledges(MANY).await;
        load.stop();
    };
    join(load.publish(), scripted).await;
    nothing_was_lost(&app, &workspace, &service, &load.ledger()).await;
    for (number, ids) in numbers(&log(&app, &workspace).await) {
        assert_eq!(ids.len(), 1, "publish {number} is in the log as {ids:?}");
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_commit_of_unknown_outcome_is_recorded_once_without_a_key_too() {
    let (app, proxy) = TestApp::behind_proxy(|settings| settings).await;
    let (workspace, service) = workspace(&app).await;
    under_load(&app, &workspace, &service, async |load| {
        proxy.spoil_commit(CommitFate::AppliedThenCut).await;
        load.acknowledges(MANY).await;
        proxy.spoil_commit(CommitFate::LostOnTheWay).await;
    })
    .await;
    app.finish().await;
}

#[actix_web::test]
async fn deliveries_that_left_before_the_outage_are_settled_after_it() {
    let (app, proxy) = TestApp::behind_proxy(|settings| settings.set("delivery.timeout", "30m")).await;
    let workspace = app.workspace("acme").await;
    let gated = GatedService::start().await;
    let crm = workspace
        .install_at("crm", gated.url())
        .subscribed_to(&["crm.**"])
        .await;
    let published = workspace.publish_many("crm.deal.closed", 8).await;
    gated.arrived(8).await;
    proxy.refuse();
    is_not_ready_after_a_publish(&app, &workspace).await;

    // Answered while nothing can be settled.
    gated.open();
    proxy.forward();
    for event in &published {
        workspace.becomes(event, &crm, "DELIVERED").await;
    }
    app.finish().await;
    assert_eq!(gated.count(), 8, "nothing was sent twice");
}

/// An idle server learns of an outage by what it is asked to write.
async fn is_not_ready_after_a_publish(app: &TestApp, workspace: &Workspace) {
    eventually("a publish is refused", async || {
        let answer = workspace
            .publish_raw(r#"{"eventKey":"other.thing","payload":{}}"#)
            .await;
        if answer.status == 503 {
            Ok(())
        } else {
            Err(answer.status)
        }
    })
    .await;
    is_not_ready(app).await;
}

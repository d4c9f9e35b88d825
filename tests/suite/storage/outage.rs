//! The database goes away and comes back: publishers are told, nothing acknowledged is lost, and the server
//! recovers by itself.

mod cluster;
mod cut;
mod disk;
mod network;

use std::{collections::HashMap, time::Duration};

use entity::platform_event;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use serde_json::Value;
use uuid::Uuid;

use pointsman_test_kit::{Ledger, Service, TestApp, Workspace, eventually};

/// How long a publisher may wait for its answer, whatever the database does.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// A workspace with a service that gets all of it.
async fn workspace(app: &TestApp) -> (Workspace, Service) {
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    (workspace, service)
}

/// Waits until `readyz` tells of the outage.
async fn is_not_ready(app: &TestApp) {
    eventually("readyz tells of the outage", async || {
        let answer = app.anonymous().get("/readyz").await;
        if answer.status == 503 {
            Ok(answer)
        } else {
            Err(answer.shown())
        }
    })
    .await
    .expect_problem(503, "STORAGE_UNAVAILABLE");
}

async fn is_ready(app: &TestApp) {
    eventually("readyz tells that all is well", async || {
        let answer = app.anonymous().get("/readyz").await;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.shown())
        }
    })
    .await;
}

/// What must hold after every outage: see [`recorded_in_order`]; and all that is in the log was delivered
/// once, since the server lived through it.
async fn nothing_was_lost(app: &TestApp, workspace: &Workspace, service: &Service, ledger: &Ledger) {
    app.settled().await;
    let ids = recorded_in_order(app, workspace, ledger).await;
    assert_eq!(service.sorted_event_ids(ids.len() as u64).await, ids);
}

/// Every publish that was not acknowledged was refused in time; the order of the log has no gaps; what was acknowledged
/// is in it, once. Returns the ids of all that is in it, sorted.
async fn recorded_in_order(app: &TestApp, workspace: &Workspace, ledger: &Ledger) -> Vec<String> {
    assert!(ledger.others.is_empty(), "{:#?}", ledger.others);
    assert!(
        ledger.slowest <= ANSWERED_WITHIN,
        "an answer took {:?}",
        ledger.slowest
    );
    let log = log(app, workspace).await;
    for (event, position) in log.iter().zip(1..) {
        assert_eq!(event.seq, position, "a gap in the order");
    }
    let by_number = numbers(&log);
    for (number, id) in &ledger.acknowledged {
        assert_eq!(
            by_number.get(number),
            Some(&vec![id.parse().expect("an event's id is a UUID")]),
            "what became of publish {number}"
        );
    }
    let mut ids: Vec<String> = log.iter().map(|event| event.id.to_string()).collect();
    ids.sort();
    ids
}

async fn log(app: &TestApp, workspace: &Workspace) -> Vec<platform_event::Model> {
    let database = app.database().await;
    let id: Uuid = workspace.id.parse().expect("a workspace's id is a UUID");
    let log = platform_event::Entity::find()
        .filter(platform_event::Column::WorkspaceId.eq(id))
        .order_by_asc(platform_event::Column::Seq)
        .all(&database)
        .await
        .expect("the log can be read");
    database.close().await.expect("a connection can be closed");
    log
}

/// The ids by the number in the payload.
fn numbers(log: &[platform_event::Model]) -> HashMap<u64, Vec<Uuid>> {
    let mut by_number: HashMap<u64, Vec<Uuid>> = HashMap::new();
    for event in log {
        let payload: Value = serde_json::from_str(&event.payload).expect("a payload is JSON");
        let number = payload["number"].as_u64().expect("a publish has a number");
        by_number.entry(number).or_default().push(event.id);
    }
    by_number
}

//! Connections that were cut while they were idle: the first request after it is answered as any other.

use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use serde_json::{Value, json};

use super::{is_ready, log, workspace};
use pointsman_test_kit::{ADMIN_EMAIL, ADMIN_PASSWORD, Cluster, TestApp, Workspace};

/// Ends every session of the server, and waits until they are gone.
async fn cut(app: &TestApp) {
    let database = app.database().await;
    let sql = "SELECT pg_terminate_backend(pid, 30000) AS gone FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended = database
        .query_all_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await
        .expect("sessions can be ended");
    assert!(!ended.is_empty(), "the server has sessions");
    for row in ended {
        assert!(
            row.try_get::<bool>("", "gone").expect("it says whether"),
            "it is gone"
        );
    }
    database.close().await.expect("a connection can be closed");
}

async fn publish_keyed(app: &TestApp, workspace: &Workspace, number: u64) {
    let body = json!({"eventKey": "crm.deal.closed", "payload": {"number": number}}).to_string();
    let key = number.to_string();
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key.as_str()),
    ];
    let path = workspace.path("/events/publish");
    app.admin.send("POST", &path, &headers, body).await.expect(200);
}

async fn publish(workspace: &Workspace, number: u64) {
    workspace
        .publish("crm.deal.closed", json!({"number": number}))
        .await;
}

async fn install(workspace: &Workspace, key: &str) {
    let extension = json!({
        "key": key, "name": key, "deliveryType": "EXTERNAL_SERVICE", "serviceBaseUrl": "http://127.0.0.1:1",
    });
    workspace.post("/extensions", &extension).await.expect(201);
}

#[actix_web::test]
async fn the_first_request_after_a_cut_is_answered_as_any_other() {
    let app = TestApp::start(pointsman_test_kit::Engine::Postgres).await;
    let (workspace, service) = workspace(&app).await;
    let chat = json!({"key": "chat", "deliveryType": "IN_PROCESS"});
    workspace.post("/extensions", &chat).await.expect(201);
    for round in 0..3 {
        cut(&app).await;
        publish(&workspace, 3 * round).await;
        cut(&app).await;
        publish_keyed(&app, &workspace, 3 * round + 1).await;
        cut(&app).await;
        install(&workspace, &format!("other{round}")).await;
        cut(&app).await;
        app.anonymous().login(ADMIN_EMAIL, ADMIN_PASSWORD).await;
        cut(&app).await;
        workspace.get("/events").await.expect(200);
        // The server may have noticed that loss and committed nothing since: then this one is a second in a row.
        publish(&workspace, 3 * round + 2).await;
        cut(&app).await;
        let said = json!({"message": round.to_string()});
        workspace
            .post("/channels/general/messages", &said)
            .await
            .expect(201);
    }
    app.settled().await;
    let log = log(&app, &workspace).await;
    let numbers: Vec<Value> = log
        .iter()
        .filter(|event| event.event_key == "crm.deal.closed")
        .map(|event| {
            serde_json::from_str::<Value>(&event.payload).expect("a payload is JSON")["number"].clone()
        })
        .collect();
    assert_eq!(
        numbers,
        (0..9).map(Value::from).collect::<Vec<_>>(),
        "each once, in order"
    );
    let keys: Vec<_> = workspace.get("/extensions").await.rows();
    assert_eq!(keys.len(), 5, "crm, chat and three more: {keys:?}");
    let said = workspace.get("/channels/general/messages").await.rows();
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(service.received(9).await.len(), 9);
    app.finish().await;
}

#[actix_web::test]
async fn the_first_request_after_a_restart_of_the_database_is_answered_as_any_other() {
    let mut cluster = Cluster::start().await;
    let app = TestApp::on_server(&cluster.url(), |settings| settings).await;
    let (workspace, _service) = workspace(&app).await;
    for number in 0..3 {
        cluster.stop();
        cluster.start_again().await;
        // A write of the engine's time may have found it away.
        is_ready(&app).await;
        match number {
            0 => publish(&workspace, number).await,
            1 => publish_keyed(&app, &workspace, number).await,
            _ => install(&workspace, "other").await,
        }
        workspace.get("/events").await.expect(200);
    }
    assert_eq!(log(&app, &workspace).await.len(), 2);
    app.finish().await;
}

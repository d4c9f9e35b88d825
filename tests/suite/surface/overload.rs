//! Overload and slow clients: what is too much is refused at once, slow clients are cut off, all others are served, and
//! all is normal again afterwards.

mod raw;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use self::raw::{Connection, end_of};
use pointsman_test_kit::{Engine, PATIENCE, TestApp, Workspace, eventually};

/// The head of a publish of so many bytes.
fn publish_head(workspace: &Workspace, length: usize) -> String {
    format!(
        "POST {} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nCookie: {}\r\n\
         Content-Length: {length}\r\n\r\n",
        workspace.path("/events/publish"),
        workspace.caller.cookie()
    )
}

fn publish(workspace: &Workspace, body: &str) -> String {
    format!("{}{body}", publish_head(workspace, body.len()))
}

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n";
const BODY: &str = r#"{"eventKey":"a.b"}"#;

#[actix_web::test]
async fn a_burst_of_connections_is_answered_to_the_last_one() {
    let app = TestApp::start(Engine::Sqlite).await;
    let workspace = app.workspace("acme").await;
    let request = publish(&workspace, BODY);
    // All are open before the first one asks, and all ask at the same time.
    let opened = join_all((0..400).map(|_| Connection::open(&app))).await;
    let asked = opened.into_iter().map(async |mut connection| {
        connection.send(&request).await;
        connection.answer().await
    });
    let mut outcomes = BTreeMap::new();
    for answer in join_all(asked).await {
        *outcomes.entry(answer.status()).or_insert(0) += 1;
    }
    assert_eq!(outcomes, BTreeMap::from([(200, 400)]));
    let newest = &workspace.events().await[0];
    assert_eq!(newest["seq"], json!(400));
    app.finish().await;
}

#[actix_web::test]
async fn a_connection_too_many_is_told_so_and_has_room_when_another_closes() {
    let app = TestApp::with(Engine::Sqlite, |settings| {
        settings.set("server.max_connections", 8)
    })
    .await;
    // The kit's own client may hold some of the eight connections, so that the limit is found by trying.
    let mut held = Vec::new();
    let refused = loop {
        assert!(held.len() <= 8, "the ninth is refused");
        let mut connection = Connection::open(&app).await;
        connection.send(GET).await;
        let answer = connection.answer().await;
        match answer.status() {
            200 => held.push(connection),
            _ => break answer,
        }
    };
    assert_eq!((refused.status(), refused.code().as_str()), (503, "OVERLOADED"));
    for header in ["retry-after: ", "x-request-id: ", "connection: close"] {
        assert!(refused.head.contains(header), "{header} in {}", refused.head);
    }
    // Connections that are open are served as before.
    for connection in &mut held {
        connection.send(GET).await;
        assert_eq!(connection.answer().await.status(), 200);
    }
    held.pop();
    eventually("there is room again", async || {
        let mut connection = Connection::open(&app).await;
        connection.send(GET).await;
        match connection.answer().await.status() {
            200 => Ok(()),
            status => Err(status),
        }
    })
    .await;
    drop(held);
    app.finish().await;
}

#[actix_web::test]
async fn a_head_that_trickles_is_cut_off_also_when_it_is_not_the_first() {
    let app = TestApp::with(Engine::Sqlite, |settings| {
        settings.set("server.client_timeout", "300ms")
    })
    .await;
    for answered_before in [0, 1, 3] {
        let mut connection = Connection::open(&app).await;
        for _ in 0..answered_before {
            connection.send(GET).await;
            assert_eq!(connection.answer().await.status(), 200);
        }
        connection.send(&GET[..20]).await;
        assert_eq!(connection.rest().await, "", "after {answered_before} answers");
    }
    // One that says nothing at all, and one that never stops saying the same.
    assert_eq!(Connection::open(&app).await.rest().await, "");
    let endless = Connection::open(&app)
        .await
        .send_for_ever("X-Header: x\r\n")
        .await;
    assert!(endless < 1024 * 1024, "{endless} bytes were taken");
    app.finish().await;
}

#[actix_web::test]
async fn a_body_that_trickles_is_refused_and_not_recorded() {
    let app = TestApp::with(Engine::Sqlite, |settings| {
        settings.set("server.client_timeout", "300ms")
    })
    .await;
    let workspace = app.workspace("acme").await;
    let mut connection = Connection::open(&app).await;
    connection.send(&publish_head(&workspace, BODY.len())).await;
    connection.send(&BODY[..BODY.len() - 1]).await;
    let answer = connection.answer().await;
    assert_eq!((answer.status(), answer.code().as_str()), (400, "MALFORMED_JSON"));
    assert!(answer.body.contains("too slowly"), "{}", answer.body);
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    // What comes too late is not taken for a request.
    assert_eq!(connection.rest().await, "");
    // A body without a length, of which a chunk comes now and then but never the last.
    let mut chunked = Connection::open(&app).await;
    let head = publish_head(&workspace, 0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    chunked.send(&head).await;
    chunked.send("1\r\n{\r\n").await;
    assert_eq!(chunked.answer().await.status(), 400);
    assert!(workspace.events().await.is_empty());
    app.finish().await;
}

#[actix_web::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let app = TestApp::with(Engine::Sqlite, |settings| {
        settings.set("server.keep_alive", "300ms")
    })
    .await;
    let mut connection = Connection::open(&app).await;
    for _ in 0..3 {
        connection.send(GET).await;
        assert_eq!(connection.answer().await.status(), 200);
    }
    assert_eq!(connection.rest().await, "");
    app.finish().await;
}

#[actix_web::test]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let app = TestApp::with(Engine::Sqlite, |settings| {
        settings.set("server.client_timeout", "300ms")
    })
    .await;
    let workspace = app.workspace("acme").await;
    let large = "x".repeat(250_000);
    for _ in 0..16 {
        workspace.publish("a.b", json!({ "large": large })).await;
    }
    // Several pages at once fill what the systems on both sides hold for a connection.
    let page = format!(
        "GET {} HTTP/1.1\r\nHost: test\r\nCookie: {}\r\n\r\n",
        workspace.path("/events?limit=200"),
        workspace.caller.cookie()
    );
    let greedy = (0..20).map(async |_| {
        let mut connection = Connection::open(&app).await;
        connection.send(&page.repeat(8)).await;
        connection.cut_off_without_reading().await;
    });
    join_all(greedy).await;
    // With them goes what was held for them: more than all the pages that may be held at a time.
    eventually("a page can be had again", async || {
        match workspace.get("/events?limit=200").await.status {
            200 => Ok(()),
            status => Err(status),
        }
    })
    .await;
    app.finish().await;
}

#[actix_web::test]
async fn bodies_are_bounded_in_all() {
    let app = TestApp::with(Engine::Sqlite, |settings| {
        settings
            .set("publish.max_body_bytes", 1024)
            .set("publish.max_batch_bytes", 1024)
            .set("publish.max_buffered_bytes", 2500)
    })
    .await;
    let workspace = app.workspace("acme").await;
    let mut held = Vec::new();
    let refused = loop {
        assert!(held.len() <= 2, "a third one does not fit");
        let mut connection = Connection::open(&app).await;
        connection.send(&publish_head(&workspace, 1024)).await;
        connection.send(&" ".repeat(1000)).await;
        // A body that fits is waited for, and one that does not is refused: this tells which it is.
        match connection.answer_unless(|| workspace.publish_raw(BODY)).await {
            None => held.push(connection),
            Some(answer) => break answer,
        }
    };
    assert_eq!(held.len(), 2);
    assert_eq!((refused.status(), refused.code().as_str()), (503, "OVERLOADED"));
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    // Connections that were open before are not affected.
    for mut connection in held {
        connection.send(&format!("{:>24}", BODY)).await;
        assert_eq!(connection.answer().await.status(), 200);
    }
    workspace.publish_raw(BODY).await.expect(200);
    app.finish().await;
}

#[actix_web::test]
async fn a_publish_too_many_is_refused_at_once_and_before_its_body() {
    let app = TestApp::with(Engine::Sqlite, |settings| {
        // One for each workspace.
        settings.set("publish.max_in_flight", 4)
    })
    .await;
    let (acme, globex) = (app.workspace("acme").await, app.workspace("globex").await);
    acme.publish("a.b", json!({})).await;
    globex.publish("a.b", json!({})).await;
    // Nothing can be committed meanwhile, so that a publish stays in flight.
    let database = app.database().await;
    let sql = async |sql: &str| database.execute_unprepared(sql).await.expect("the file is there");
    sql("BEGIN IMMEDIATE").await;
    let mut first = Connection::open(&app).await;
    first.send(&publish(&acme, BODY)).await;
    // Whether it has come that far can only be told by the refusal of another; the body of that never comes.
    let refused = eventually("a second publish is refused", async || {
        let mut second = Connection::open(&app).await;
        second.send(&publish_head(&acme, BODY.len())).await;
        let answer = second.answer_unless(|| app.admin.get("/healthz")).await;
        answer.ok_or("it is waited for")
    })
    .await;
    assert_eq!((refused.status(), refused.code().as_str()), (503, "OVERLOADED"));
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    sql("ROLLBACK").await;
    assert_eq!(first.answer().await.status(), 200);
    database.close().await.expect("a connection can be closed");
    for workspace in [&acme, &globex] {
        workspace.publish("a.b", json!({})).await;
    }
    assert_eq!((acme.events().await.len(), globex.events().await.len()), (3, 2));
    app.finish().await;
}

#[actix_web::test]
async fn a_publish_that_is_cut_off_leaves_a_whole_event_or_none() {
    let app = TestApp::with(Engine::Sqlite, |settings| {
        settings.set("publish.max_in_flight", 32)
    })
    .await;
    let workspace = app.workspace("acme").await;
    let body = r#"{"eventKey":"a.b","payload":{"whole":true}}"#;
    let request = publish(&workspace, body);
    let gone = (0..200).map(|number: usize| {
        // From the first byte of the head to the last one of the body.
        let sent = request.len() * (number + 1) / 200;
        let request = &request;
        let app = &app;
        async move {
            let mut connection = Connection::open(app).await;
            connection.send(&request[..sent]).await;
            connection.reset();
        }
    });
    join_all(gone).await;
    // A quarter of the permits is this workspace's: all of them can be had at once.
    eventually("every permit is back", async || {
        let all = join_all((0..8).map(|_| workspace.publish_raw(r#"{"eventKey":"c.d"}"#))).await;
        let statuses: Vec<u16> = all.iter().map(|answer| answer.status).collect();
        if statuses.iter().all(|status| *status == 200) {
            Ok(())
        } else {
            Err(format!("{statuses:?}"))
        }
    })
    .await;
    let events = workspace.events().await;
    for (position, event) in events.iter().rev().enumerate() {
        assert_eq!(event["seq"], json!(position + 1));
        let is_whole = event["eventKey"] == "c.d" || event["payload"] == json!({"whole": true});
        assert!(is_whole, "{event}");
    }
    app.finish().await;
}

#[actix_web::test]
async fn a_stop_does_not_wait_for_connections_that_ask_for_nothing() {
    let mut app = TestApp::start(Engine::Sqlite).await;
    let mut times = Vec::new();
    for _ in 0..3 {
        let mut held = Vec::new();
        for number in 0..30 {
            let mut connection = Connection::open(&app).await;
            if number % 2 == 0 {
                connection.send(GET).await;
                assert_eq!(connection.answer().await.status(), 200);
            }
            held.push(connection);
        }
        let asked = pointsman_clock::Clock.instant();
        app.restart().await;
        times.push(pointsman_clock::Clock.elapsed(asked));
        for connection in held {
            assert_eq!(end_of(connection).await, "");
        }
    }
    // The best of three, since the machine may be busy with other tests. It includes a start.
    let best = times.iter().min().expect("there were three");
    assert!(best.as_millis() < 900, "{times:?}");
    assert!(times.iter().all(|time| *time < PATIENCE));
    app.finish().await;
}

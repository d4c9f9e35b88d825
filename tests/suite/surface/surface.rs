//! What every answer has in common, and lists.

use pointsman_receive::Behavior;
use serde_json::{Value, json};

use pointsman_test_kit::{Engine, Service, TestApp, on_both_engines};

on_both_engines! {
    a_server_that_runs_is_healthy_and_ready,
    an_unknown_route_and_a_wrong_method_are_problems,
    head_is_answered_as_get_is_without_the_body,
    every_answer_has_a_request_id,
    events_are_listed_newest_first_in_pages,
    secrets_are_shown_once,
}

async fn a_server_that_runs_is_healthy_and_ready(engine: Engine) {
    let app = TestApp::start(engine).await;
    for path in ["/healthz", "/readyz"] {
        let answer = app.anonymous().get(path).await.expect(200);
        assert_eq!(answer.header("set-cookie"), None, "{path}");
    }
    app.finish().await;
}

async fn an_unknown_route_and_a_wrong_method_are_problems(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    for path in [
        "/",
        "/api",
        "/api/nothing",
        "/api/workspaces/",
        "/favicon.ico",
        "/api/users/7",
        "//",
        "/api/../etc",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            app.api(method, path, None).await.expect_problem(404, "NOT_FOUND");
            app.anonymous()
                .api(method, path, None)
                .await
                .expect_problem(404, "NOT_FOUND");
        }
    }
    for (method, path) in [
        ("DELETE", "/healthz".to_owned()),
        ("GET", "/api/auth/login".to_owned()),
        ("PATCH", "/api/users".to_owned()),
        ("PUT", workspace.path("/events/publish")),
        ("GET", workspace.path("/events/publish")),
        ("DELETE", workspace.path("/events")),
    ] {
        let answer = app
            .api(method, &path, None)
            .await
            .expect_problem(405, "METHOD_NOT_ALLOWED");
        let allow = answer.header("allow").unwrap_or_default();
        let has = |method: &str| allow.split(", ").any(|one| one == method);
        assert!(!allow.is_empty(), "{method} {path}: {answer:?}");
        assert_eq!(has("HEAD"), has("GET"), "{method} {path}: {allow}");
    }
    app.finish().await;
}

async fn head_is_answered_as_get_is_without_the_body(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(410)).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    let letter = workspace.dead_letters_become(1, "").await.remove(0);
    let letter = letter["id"].as_str().expect("a letter has an id").to_owned();
    workspace.attempts_become(1, &event, &crm).await;
    let stranger = app.user("bob").await;
    let paths = [
        "/healthz".to_owned(),
        "/readyz".to_owned(),
        "/api/auth/me".to_owned(),
        "/api/users".to_owned(),
        "/api/workspaces".to_owned(),
        "/api/dead-letters".to_owned(),
        "/api/dead-letters?limit=0".to_owned(),
        "/api/extensions/available".to_owned(),
        "/api/nothing".to_owned(),
        workspace.path(""),
        workspace.path("/members"),
        workspace.path("/extensions"),
        workspace.path("/channels"),
        workspace.path("/channels/deals/messages"),
        workspace.path("/events"),
        workspace.path(&format!("/events/{event}")),
        workspace.path("/events/none"),
        workspace.path("/events/dead-letters"),
        workspace.path(&format!("/events/dead-letters/{letter}")),
        crm.path(""),
        crm.path("/subscriptions"),
        // These have no GET.
        workspace.path("/events/publish"),
        "/api/auth/login".to_owned(),
    ];
    for caller in [&app.admin, &stranger.caller, &app.anonymous()] {
        for path in &paths {
            let (get, head) = (caller.get(path).await, caller.head(path).await);
            assert_eq!(head.status, get.status, "{path}");
            assert!(head.body.is_empty(), "{path}: {}", head.shown());
            assert_eq!(head.length, Some(get.body.len()), "{path}: {}", get.shown());
            for name in ["content-type", "allow", "cache-control", "retry-after"] {
                assert_eq!(head.header(name), get.header(name), "{path}: {name}");
            }
        }
    }
    app.finish().await;
}

async fn every_answer_has_a_request_id(engine: Engine) {
    let app = TestApp::start(engine).await;
    let mut seen = std::collections::BTreeSet::new();
    for path in ["/healthz", "/api/auth/me", "/nothing", "/api/users?limit=0"] {
        for caller in [&app.admin, &app.anonymous()] {
            let answer = caller.get(path).await;
            let id = answer
                .header("x-request-id")
                .expect("every answer has one")
                .to_owned();
            assert!(seen.insert(id), "{path}: an id came twice");
        }
        let given = app
            .admin
            .send("GET", path, &[("x-request-id", "mine-7")], "")
            .await;
        assert_eq!(given.header("x-request-id"), Some("mine-7"));
    }
    app.finish().await;
}

async fn events_are_listed_newest_first_in_pages(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let mut published = Vec::new();
    for (key, actor) in [
        ("a.a", "ann"),
        ("a.b", "bob"),
        ("a.a", "bob"),
        ("a.a", "ann"),
        ("a.b", "ann"),
    ] {
        let body = json!({"eventKey": key, "actor": actor}).to_string();
        let answer = workspace.publish_raw(body).await.expect(200);
        published.push(answer.header("x-event-id").expect("the event's id").to_owned());
    }
    let third = workspace.event(&published[2]).await;
    let at = third["occurredAt"].as_str().expect("a time").to_owned();
    assert_eq!(
        (&third["seq"], &third["tenantId"]),
        (&json!(3), &json!(workspace.id))
    );

    let ids = |rows: Vec<Value>| -> Vec<String> {
        rows.iter()
            .filter_map(|row| row["id"].as_str().map(str::to_owned))
            .collect()
    };
    let cases: [(String, &[usize]); 4] = [
        (String::new(), &[4, 3, 2, 1, 0]),
        ("eventKey=a.a".to_owned(), &[3, 2, 0]),
        ("actor=bob".to_owned(), &[2, 1]),
        ("eventKey=a.b&actor=ann".to_owned(), &[4]),
    ];
    for (filter, expected) in cases {
        let expected: Vec<String> = expected.iter().map(|number| published[*number].clone()).collect();
        let rows = workspace
            .get(&format!("/events?{filter}"))
            .await
            .expect(200)
            .rows();
        assert_eq!(ids(rows), expected, "{filter}");
    }
    // Events of one millisecond share their time.
    let from = ids(workspace
        .get(&format!("/events?from={at}"))
        .await
        .expect(200)
        .rows());
    let to = ids(workspace
        .get(&format!("/events?to={at}"))
        .await
        .expect(200)
        .rows());
    assert!(from.contains(&published[2]) && !to.contains(&published[2]));
    assert_eq!(from.len() + to.len(), 5);
    let within = at.replace('Z', "5Z");
    let through = ids(workspace
        .get(&format!("/events?to={within}"))
        .await
        .expect(200)
        .rows());
    assert!(
        through.contains(&published[2]),
        "{within} is later in its millisecond"
    );

    let first = workspace.get("/events?limit=3").await.expect(200);
    let cursor = first.json()["nextCursor"]
        .as_str()
        .expect("there is more")
        .to_owned();
    workspace.publish("a.c", json!({})).await;
    let second = workspace
        .get(&format!("/events?limit=3&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(second.json()["nextCursor"], Value::Null);
    let all: Vec<String> = [ids(first.rows()), ids(second.rows())].concat();
    assert_eq!(all, published.iter().rev().cloned().collect::<Vec<_>>());
    app.finish().await;
}

async fn secrets_are_shown_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let crm = workspace
        .install_at("crm", "http://127.0.0.1:1")
        .subscribed_to(&[])
        .await;
    assert!(crm.secret.starts_with("whsec_"));
    crm.update(json!({"headers": {"Authorization-Key": "a header's secret"}}))
        .await;
    for path in [
        crm.path(""),
        workspace.path("/extensions"),
        "/api/users".to_owned(),
    ] {
        let answer = app.admin.get(&path).await.expect(200);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        for secret in ["whsec_", "a header's secret", "argon2"] {
            assert!(!text.contains(secret), "{path} shows {text}");
        }
    }
    app.finish().await;
}

//! Queries of lists.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{INVALID, check};
use pointsman_test_kit::{Engine, TestApp, on_both_engines};

on_both_engines! {
    bad_queries_name_their_parameter,
    no_parameter_is_the_fault_of_the_server,
}

async fn bad_queries_name_their_parameter(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let long = "x".repeat(256);
    for (list, query, field) in [
        ("/events", "limit=0", "limit"),
        ("/events", "limit=201", "limit"),
        ("/events", "limit=many", "limit"),
        ("/events", "cursor=nonsense", "cursor"),
        ("/events", "eventKey=crm", "eventKey"),
        ("/events", "eventKey=crm.**.closed", "eventKey"),
        ("/events", "causationId=x", "causationId"),
        ("/events", "correlationId=x", "correlationId"),
        ("/events", "order=oldest", "order"),
        ("/events", "after=1", "after"),
        ("/events", "order=asc&after=-1", "after"),
        ("/events", "status=PENDING", "status"),
        ("/events", "outcome=LATE", "outcome"),
        ("/events", "status=DEAD&extensionId=crm", "extensionId"),
        ("/events/dead-letters", "eventKey=crm", "eventKey"),
        ("/events/dead-letters", "httpStatus=6xx", "httpStatus"),
        ("/events/dead-letters", "outcome=%00", "outcome"),
        ("/events", "text=", "text"),
        ("/events", "text=%00", "text"),
        ("/events", &format!("text={long}"), "text"),
        ("/events", "payload.=1", "payload."),
        ("/events", "payload.a=%00", "payload.a"),
        ("/events", "payload.a=1&payload.a=1", "payload.a"),
        (
            "/events",
            "payload.a.b.c.d.e.f.g.h.i=1",
            "payload.a.b.c.d.e.f.g.h.i",
        ),
        ("/events", &format!("payload.a={long}"), "payload.a"),
        (
            "/events",
            &format!("payload.{long}=1"),
            &format!("payload.{}", &long[..64]),
        ),
        ("/events", "from=yesterday", "from"),
        ("/events", "to=2026-13-01T00:00:00Z", "to"),
        ("/events", "actor=%00", "actor"),
        ("/events/dead-letters", "extensionId=crm", "extensionId"),
        ("/events/dead-letters", "status=LOST", "status"),
        ("/events/dead-letters", "reason=NONE", "reason"),
        ("/events/dead-letters", "limit=-1", "limit"),
        ("/events/dead-letters", "order=oldest", "order"),
        ("/extensions", "cursor=%7B%7D", "cursor"),
        ("/members", "limit=1&limit=2", "limit"),
        ("/channels", &cursor("\"\\u0000\""), "cursor"),
        ("/channels", &cursor("\"a\\u0000b\""), "cursor"),
        ("/channels", &cursor("\"\""), "cursor"),
        (
            "/channels",
            &cursor(&format!("\"{}\"", "a".repeat(256))),
            "cursor",
        ),
        ("/channels/general/messages", &cursor("\"\\u0000\""), "cursor"),
        ("/channels/%00/messages", "", "channel"),
        ("/events", &cursor("[\"desc\",9223372036854775808]"), "cursor"),
        ("/events", &cursor("[\"desc\",1.5]"), "cursor"),
        ("/events", &cursor("1"), "cursor"),
        ("/events", "from=10000-01-01T00:00:00Z", "from"),
    ] {
        let answer = workspace.get(&format!("{list}?{query}")).await;
        check(&answer, INVALID, &[field], &format!("{list}?{query}"));
    }
    let answer = app.admin.get("/api/dead-letters?workspaceId=acme").await;
    check(&answer, INVALID, &["workspaceId"], "across workspaces");
    app.finish().await;
}

/// `cursor=` with this JSON in it.
fn cursor(json: &str) -> String {
    format!("cursor={}", BASE64_URL_SAFE_NO_PAD.encode(json))
}

/// Every list with every cursor, time, text and id: what is no error of the caller is answered.
async fn no_parameter_is_the_fault_of_the_server(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let crm = workspace
        .install_at("crm", "http://127.0.0.1:1")
        .subscribed_to(&["crm.**"])
        .await;
    let id = "\"00000000-0000-0000-0000-000000000000\"";
    let mut queries: Vec<String> = [
        "0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "1e3",
        "null",
        "{}",
        "\"\"",
        "\"\\u0000\"",
        "\"\u{10ffff}\"",
        "\"general\"",
        id,
    ]
    .iter()
    .flat_map(|key| {
        let positions = [cursor(key), cursor(&format!("[{key},{id}]"))];
        let directed = ["asc", "desc"].map(|order| {
            let cursor = cursor(&format!("[\"{order}\",{key}]"));
            format!("order={order}&{cursor}")
        });
        positions.into_iter().chain(directed)
    })
    .collect();
    for time in [
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999Z",
        "9999-12-31T23:59:60-23:59",
        "-0001-01-01T00:00:00Z",
        "262142-12-31T23:59:59Z",
        "%00",
    ] {
        queries.extend([format!("from={time}"), format!("to={time}")]);
    }
    for text in ["%00", "%F0%9F%9A%82", "%FF", "%ED%A0%80", ""] {
        for name in [
            "actor",
            "text",
            "payload.a",
            "payload.a.0",
            "payload.%00",
            "after",
            "order=asc&after",
            "order",
            "causationId",
            "correlationId",
            "eventKey",
            "extensionId",
            "workspaceId",
            "status",
            "outcome",
            "httpStatus",
            "reason",
            "limit",
            "cursor",
        ] {
            queries.push(format!("{name}={text}"));
        }
    }
    let lists = [
        workspace.path("/events"),
        workspace.path("/events/dead-letters"),
        workspace.path("/extensions"),
        workspace.path("/extensions/available"),
        workspace.path("/members"),
        workspace.path("/channels"),
        workspace.path("/channels/general/messages"),
        crm.path("/subscriptions"),
        "/api/dead-letters".to_owned(),
        "/api/users".to_owned(),
        "/api/workspaces".to_owned(),
    ];
    for list in lists {
        for query in &queries {
            let answer = app.admin.get(&format!("{list}?{query}")).await;
            let is_expected = match answer.status {
                200 | 404 => true,
                400 => answer.code() == INVALID,
                _ => false,
            };
            assert!(is_expected, "{list}?{query}: {}", answer.shown());
        }
    }
    app.finish().await;
}

//! The rights of every kind of caller, for every route.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use pointsman_test_kit::{Caller, Engine, TestApp, on_both_engines};

on_both_engines! {
    every_route_lets_in_whom_it_should,
    whether_a_workspace_exists_is_told_to_global_admins_alone,
    a_changed_role_counts_for_the_next_request,
    a_session_ends_with_its_logout,
    a_publisher_who_has_logged_out_publishes_no_more,
    a_wrong_password_and_an_unknown_user_are_one_answer,
}

/// The callers that a route lets in.
#[derive(Clone, Copy, Debug)]
enum Who {
    Anyone,
    SignedIn,
    Member,
    WorkspaceAdmin,
    GlobalAdmin,
}
use Who::{Anyone, GlobalAdmin, Member, SignedIn, WorkspaceAdmin};

/// Method, path as in the source, body, who is let in, and what they are answered. Ids below a workspace
/// are unknown ones and bodies are wrong, so that nothing that is let in changes anything, but for the last two.
const ROUTES: &[(&str, &str, &str, Who, u16)] = &[
    ("GET", "/healthz", "", Anyone, 200),
    ("GET", "/readyz", "", Anyone, 200),
    ("POST", "/api/auth/login", "{}", Anyone, 400),
    ("GET", "/api/auth/me", "", SignedIn, 200),
    ("POST", "/api/users", "{}", GlobalAdmin, 400),
    ("GET", "/api/users", "", GlobalAdmin, 200),
    ("GET", "/api/storage", "", GlobalAdmin, 200),
    ("GET", "/api/storage/workspaces", "", GlobalAdmin, 200),
    ("POST", "/api/workspaces", "{}", GlobalAdmin, 400),
    ("GET", "/api/workspaces", "", SignedIn, 200),
    ("GET", "/api/workspaces/{workspaceId}", "", Member, 200),
    (
        "GET",
        "/api/workspaces/{workspaceId}/members",
        "",
        WorkspaceAdmin,
        200,
    ),
    (
        "PUT",
        "/api/workspaces/{workspaceId}/members/{userId}",
        "{}",
        WorkspaceAdmin,
        400,
    ),
    (
        "DELETE",
        "/api/workspaces/{workspaceId}/members/{userId}",
        "",
        WorkspaceAdmin,
        404,
    ),
    (
        "POST",
        "/api/workspaces/{workspaceId}/extensions",
        "{}",
        WorkspaceAdmin,
        400,
    ),
    (
        "GET",
        "/api/workspaces/{workspaceId}/extensions",
        "",
        WorkspaceAdmin,
        200,
    ),
    (
        "GET",
        "/api/workspaces/{workspaceId}/extensions/{extensionId}",
        "",
        WorkspaceAdmin,
        404,
    ),
    (
        "PATCH",
        "/api/workspaces/{workspaceId}/extensions/{extensionId}",
        "{}",
        WorkspaceAdmin,
        404,
    ),
    (
        "DELETE",
        "/api/workspaces/{workspaceId}/extensions/{extensionId}",
        "",
        WorkspaceAdmin,
        404,
    ),
    (
        "POST",
        "/api/workspaces/{workspaceId}/extensions/{extensionId}/rotate-secret",
        "",
        WorkspaceAdmin,
        404,
    ),
    (
        "POST",
        "/api/workspaces/{workspaceId}/extensions/{extensionId}/test",
        "",
        WorkspaceAdmin,
        404,
    ),
    (
        "POST",
        "/api/workspaces/{workspaceId}/extensions/{extensionId}/reset",
        "",
        WorkspaceAdmin,
        404,
    ),
    (
        "POST",
        "/api/workspaces/{workspaceId}/extensions/{extensionId}/subscriptions",
        "{}",
        WorkspaceAdmin,
        404,
    ),
    (
        "GET",
        "/api/workspaces/{workspaceId}/extensions/{extensionId}/subscriptions",
        "",
        WorkspaceAdmin,
        404,
    ),
    (
        "DELETE",
        "/api/workspaces/{workspaceId}/extensions/{extensionId}/subscriptions/{subscriptionId}",
        "",
        WorkspaceAdmin,
        404,
    ),
    ("GET", "/api/extensions/available", "", SignedIn, 200),
    ("GET", "/api/workspaces/{workspaceId}/channels", "", Member, 200),
    (
        "GET",
        "/api/workspaces/{workspaceId}/channels/{channel}/messages",
        "",
        Member,
        200,
    ),
    (
        "POST",
        "/api/workspaces/{workspaceId}/channels/{channel}/messages",
        "{}",
        Member,
        400,
    ),
    (
        "POST",
        "/api/workspaces/{workspaceId}/events/publish",
        "{}",
        Member,
        400,
    ),
    ("GET", "/api/workspaces/{workspaceId}/events", "", Member, 200),
    (
        "GET",
        "/api/workspaces/{workspaceId}/events/{eventId}",
        "",
        Member,
        404,
    ),
    (
        "POST",
        "/api/workspaces/{workspaceId}/events/{eventId}/erase",
        "",
        WorkspaceAdmin,
        404,
    ),
    (
        "GET",
        "/api/workspaces/{workspaceId}/events/dead-letters",
        "",
        WorkspaceAdmin,
        200,
    ),
    (
        "GET",
        "/api/workspaces/{workspaceId}/events/dead-letters/{deadLetterId}",
        "",
        WorkspaceAdmin,
        404,
    ),
    (
        "POST",
        "/api/workspaces/{workspaceId}/events/dead-letters/{deadLetterId}/replay",
        "{}",
        WorkspaceAdmin,
        404,
    ),
    (
        "POST",
        "/api/workspaces/{workspaceId}/events/dead-letters/{deadLetterId}/discard",
        "",
        WorkspaceAdmin,
        404,
    ),
    ("GET", "/api/dead-letters", "", GlobalAdmin, 200),
    // The last two: the workspace is gone after the first, and the caller has no session after the second.
    ("DELETE", "/api/workspaces/{workspaceId}", "", GlobalAdmin, 202),
    ("POST", "/api/auth/logout", "", SignedIn, 200),
];

const UNKNOWN_ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// What the six callers are answered: without a cookie, with a bad one, signed in but no member, a plain
/// member, an admin of the workspace, a global admin.
fn expected(who: Who, allowed: u16) -> [u16; 6] {
    match who {
        Anyone => [allowed; 6],
        SignedIn => [401, 401, allowed, allowed, allowed, allowed],
        Member => [401, 401, 403, allowed, allowed, allowed],
        WorkspaceAdmin => [401, 401, 403, 403, allowed, allowed],
        GlobalAdmin => [401, 401, 403, 403, 403, allowed],
    }
}

async fn every_route_lets_in_whom_it_should(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let elsewhere = app.workspace("globex").await;
    let callers: [Caller; 6] = [
        app.anonymous(),
        app.anonymous()
            .with_cookie("pointsman_session=bm90IGEgc2Vzc2lvbg"),
        app.member(&elsewhere, "outsider", "ADMIN").await.caller,
        app.member(&workspace, "member", "MEMBER").await.caller,
        app.member(&workspace, "workspace-admin", "ADMIN").await.caller,
        app.anonymous()
            .login(
                pointsman_test_kit::ADMIN_EMAIL,
                pointsman_test_kit::ADMIN_PASSWORD,
            )
            .await,
    ];
    let json = [("content-type", "application/json")];
    for (method, template, body, who, allowed) in ROUTES {
        let path = path_of(template, &workspace.id);
        let mut got = Vec::new();
        for caller in &callers {
            let headers = if body.is_empty() { &[][..] } else { &json };
            let answer = caller.send(method, &path, headers, *body).await;
            let code = match answer.status {
                401 => "UNAUTHENTICATED",
                403 => "FORBIDDEN",
                404 => "NOT_FOUND",
                400 => "VALIDATION_FAILED",
                _ => "",
            };
            assert_eq!(
                answer.code(),
                if code.is_empty() { "SUCCESS" } else { code },
                "{method} {template}"
            );
            got.push(answer.status);
        }
        assert_eq!(got, expected(*who, *allowed), "{method} {template}");
    }
    app.finish().await;
}

/// The path with the workspace's id and unknown ones for the rest.
fn path_of(template: &str, workspace: &str) -> String {
    let path = template.replace("{workspaceId}", workspace);
    path.split('/')
        .map(|segment| {
            if segment.starts_with('{') {
                UNKNOWN_ID
            } else {
                segment
            }
        })
        .collect::<Vec<_>>()
        .join("/")
}

/// Reads the routes from the source: a route that is not in the table fails here.
#[test]
fn the_table_has_every_route() {
    let mut found = BTreeSet::new();
    collect_routes(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/http"),
        &mut found,
    );
    let table: BTreeSet<(String, String)> = ROUTES
        .iter()
        .map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(table.len(), ROUTES.len(), "a route is in the table twice");
    assert_eq!(found, table);
}

fn collect_routes(folder: &Path, found: &mut BTreeSet<(String, String)>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("the sources can be listed").path();
        if path.is_dir() {
            collect_routes(&path, found);
        } else {
            let text = fs::read_to_string(&path).expect("sources are text");
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            for resource in product.split("web::resource(").skip(1) {
                let route = resource.split('"').nth(1).expect("a path is written in full");
                for method in resource.split(".route(web::").skip(1) {
                    let method = method.split("()").next().expect("a method is written as a call");
                    found.insert((method.to_uppercase(), route.to_owned()));
                }
            }
        }
    }
}

async fn whether_a_workspace_exists_is_told_to_global_admins_alone(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let outsider = app.user("outsider").await.caller;
    for id in [workspace.id.as_str(), UNKNOWN_ID, "ws-uuid", "%00"] {
        for rest in ["", "/events", "/extensions", "/events/dead-letters", "/members"] {
            let path = format!("/api/workspaces/{id}{rest}");
            outsider.get(&path).await.expect_problem(403, "FORBIDDEN");
            if id != workspace.id {
                app.admin.get(&path).await.expect_problem(404, "NOT_FOUND");
            }
        }
    }
    app.finish().await;
}

async fn a_changed_role_counts_for_the_next_request(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let ann = app.user("ann").await;
    let seen = workspace.seen_by(&ann.caller);
    for (role, events, extensions) in [("MEMBER", 200, 403), ("ADMIN", 200, 200), ("MEMBER", 200, 403)] {
        workspace.put_member(&ann.id, role).await.expect(200);
        assert_eq!(seen.get("/events").await.status, events, "{role}");
        assert_eq!(seen.get("/extensions").await.status, extensions, "{role}");
    }
    let listed = workspace.get("/members").await.expect(200).rows();
    assert_eq!(
        (listed.len(), &listed[0]["userId"], &listed[0]["role"]),
        (1, &json!(ann.id), &json!("MEMBER"))
    );

    app.admin
        .delete(&workspace.path(&format!("/members/{}", ann.id)))
        .await
        .expect(200);
    seen.get("/events").await.expect_problem(403, "FORBIDDEN");
    seen.publish_raw(r#"{"eventKey":"a.b"}"#)
        .await
        .expect_problem(403, "FORBIDDEN");
    assert!(workspace.events().await.is_empty());
    app.finish().await;
}

async fn a_session_ends_with_its_logout(engine: Engine) {
    let app = TestApp::start(engine).await;
    let ann = app.user("ann").await;
    let me = ann.caller.get("/api/auth/me").await.expect(200).data();
    assert_eq!(
        me,
        json!({"id": ann.id, "email": "ann@pointsman.test", "role": "USER"})
    );
    ann.caller
        .post("/api/auth/logout", &Value::Null)
        .await
        .expect(200);
    ann.caller
        .get("/api/auth/me")
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    ann.caller
        .post("/api/auth/logout", &Value::Null)
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    app.finish().await;
}

/// The session that a cookie names is remembered from one publish to the next; whether the session is valid is not.
async fn a_publisher_who_has_logged_out_publishes_no_more(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let ann = app.member(&workspace, "ann", "MEMBER").await;
    let publishing = workspace.seen_by(&ann.caller);
    for _ in 0..3 {
        publishing.publish("crm.deal.closed", json!({})).await;
    }
    ann.caller
        .post("/api/auth/logout", &Value::Null)
        .await
        .expect(200);
    let refused = publishing.publish_raw(r#"{"eventKey":"crm.deal.closed"}"#).await;
    refused.expect_problem(401, "UNAUTHENTICATED");
    assert_eq!(workspace.events().await.len(), 3);
    app.finish().await;
}

async fn a_wrong_password_and_an_unknown_user_are_one_answer(engine: Engine) {
    let app = TestApp::start(engine).await;
    app.user("ann").await;
    let mut bodies = Vec::new();
    for (email, password) in [
        ("ann@pointsman.test", "not the password"),
        ("nobody@pointsman.test", "whatever it is"),
    ] {
        let answer = app
            .anonymous()
            .post("/api/auth/login", &json!({"email": email, "password": password}))
            .await;
        let answer = answer.expect_problem(401, "UNAUTHENTICATED");
        assert_eq!(answer.header("set-cookie"), None);
        bodies.push(answer.body);
    }
    assert_eq!(bodies[0], bodies[1]);
    app.anonymous()
        .login("ANN@pointsman.test", "staple staple staple")
        .await;
    app.finish().await;
}

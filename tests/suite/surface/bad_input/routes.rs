//! The routes beside publish: bodies and ids.

use serde_json::json;

use super::{INVALID, MALFORMED, check};
use pointsman_test_kit::{Engine, TestApp, on_both_engines};

on_both_engines! {
    bad_bodies_are_refused_by_every_route,
    ids_that_are_none_are_unknown,
}

async fn bad_bodies_are_refused_by_every_route(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let crm = workspace
        .install_at("crm", "http://127.0.0.1:1")
        .subscribed_to(&["crm.**"])
        .await;
    let before = crm.shown().await;
    let user = app.user("ann").await;
    let (extensions, extension) = (workspace.path("/extensions"), crm.path(""));
    let (subscriptions, member) = (
        crm.path("/subscriptions"),
        workspace.path(&format!("/members/{}", user.id)),
    );
    let installing = |key: &str, url: &str| {
        json!({"key": key, "name": "n", "deliveryType": "EXTERNAL_SERVICE", "serviceBaseUrl": url})
            .to_string()
    };
    let long = "x".repeat(300);
    let new_user = |email: &str, password: &str, role: &str| {
        json!({"email": email, "password": password, "role": role}).to_string()
    };
    let url = "http://127.0.0.1:1";
    let cases: Vec<(&str, &str, String, &str, &[&str])> = vec![
        ("POST", "/api/auth/login", "{".into(), MALFORMED, &[]),
        (
            "POST",
            "/api/auth/login",
            r#"{"email":"a@b"}"#.into(),
            INVALID,
            &["password"],
        ),
        (
            "POST",
            "/api/auth/login",
            r#"{"email":null,"password":"x"}"#.into(),
            INVALID,
            &["email"],
        ),
        ("POST", "/api/users", "[]".into(), INVALID, &["body"]),
        (
            "POST",
            "/api/users",
            new_user("nobody", "long enough", "USER"),
            INVALID,
            &["email"],
        ),
        (
            "POST",
            "/api/users",
            new_user("a@b.test", "short", "USER"),
            INVALID,
            &["password"],
        ),
        (
            "POST",
            "/api/users",
            new_user("a@b.test", &long, "USER"),
            INVALID,
            &["password"],
        ),
        (
            "POST",
            "/api/users",
            new_user("a@b.test", "long enough", "KING"),
            INVALID,
            &["role"],
        ),
        (
            "POST",
            "/api/users",
            new_user(&format!("{long}@b.test"), "short", "USER"),
            INVALID,
            &["email", "password"],
        ),
        (
            "POST",
            "/api/users",
            new_user("ann@pointsman.test", "long enough", "USER"),
            "CONFLICT",
            &[],
        ),
        ("POST", "/api/workspaces", "{}".into(), INVALID, &["name"]),
        (
            "POST",
            "/api/workspaces",
            r#"{"name":7}"#.into(),
            INVALID,
            &["name"],
        ),
        (
            "POST",
            "/api/workspaces",
            r#"{"name":"  "}"#.into(),
            INVALID,
            &["name"],
        ),
        (
            "POST",
            "/api/workspaces",
            r#"{"name":"a\u0007b"}"#.into(),
            INVALID,
            &["name"],
        ),
        (
            "POST",
            "/api/workspaces",
            json!({"name": long}).to_string(),
            INVALID,
            &["name"],
        ),
        (
            "POST",
            "/api/workspaces",
            r#"{"name":"a","name":"b"}"#.into(),
            MALFORMED,
            &[],
        ),
        ("PUT", &member, "{}".into(), INVALID, &["role"]),
        ("PUT", &member, r#"{"role":"OWNER"}"#.into(), INVALID, &["role"]),
        ("POST", &extensions, "{}".into(), INVALID, &["key"]),
        ("POST", &extensions, installing("", url), INVALID, &["key"]),
        ("POST", &extensions, installing("C R M", url), INVALID, &["key"]),
        ("POST", &extensions, installing(&long, url), INVALID, &["key"]),
        ("POST", &extensions, installing("crm", url), "CONFLICT", &[]),
        (
            "POST",
            &extensions,
            installing("x", "ftp://example.com"),
            INVALID,
            &["serviceBaseUrl"],
        ),
        (
            "POST",
            &extensions,
            installing("x", "example.com"),
            INVALID,
            &["serviceBaseUrl"],
        ),
        (
            "POST",
            &extensions,
            installing("x", "http://"),
            INVALID,
            &["serviceBaseUrl"],
        ),
        (
            "POST",
            &extensions,
            installing("x", "http://user:secret@example.com"),
            INVALID,
            &["serviceBaseUrl"],
        ),
        (
            "POST",
            &extensions,
            installing("x", "http://example.com/#part"),
            INVALID,
            &["serviceBaseUrl"],
        ),
        (
            "POST",
            &extensions,
            installing("", "gopher://x"),
            INVALID,
            &["key", "serviceBaseUrl"],
        ),
        (
            "POST",
            &extensions,
            r#"{"key":"x","name":"n","deliveryType":"EXTERNAL_SERVICE"}"#.into(),
            INVALID,
            &["serviceBaseUrl"],
        ),
        (
            "POST",
            &extensions,
            r#"{"key":"x","name":"n","deliveryType":"IN_PROCESS"}"#.into(),
            INVALID,
            &["key"],
        ),
        (
            "POST",
            &extensions,
            r#"{"key":"x","name":"n","deliveryType":"MAIL"}"#.into(),
            INVALID,
            &["deliveryType"],
        ),
        ("PATCH", &extension, "{".into(), MALFORMED, &[]),
        (
            "PATCH",
            &extension,
            r#"{"enabled":"yes"}"#.into(),
            INVALID,
            &["enabled"],
        ),
        ("PATCH", &extension, r#"{"name":""}"#.into(), INVALID, &["name"]),
        (
            "PATCH",
            &extension,
            r#"{"serviceBaseUrl":"mailto:x@y"}"#.into(),
            INVALID,
            &["serviceBaseUrl"],
        ),
        (
            "PATCH",
            &extension,
            r#"{"concurrency":0}"#.into(),
            INVALID,
            &["concurrency"],
        ),
        (
            "PATCH",
            &extension,
            r#"{"headers":{"webhook-id":"x"}}"#.into(),
            INVALID,
            &["headers.webhook-id"],
        ),
        ("POST", &subscriptions, "{}".into(), INVALID, &["eventKey"]),
        (
            "POST",
            &subscriptions,
            r#"{"eventKey":5}"#.into(),
            INVALID,
            &["eventKey"],
        ),
        (
            "POST",
            &subscriptions,
            r#"{"eventKey":"crm"}"#.into(),
            INVALID,
            &["eventKey"],
        ),
        (
            "POST",
            &subscriptions,
            r#"{"eventKey":"crm.**.closed"}"#.into(),
            INVALID,
            &["eventKey"],
        ),
        (
            "POST",
            &subscriptions,
            r#"{"eventKey":"crm.d*"}"#.into(),
            INVALID,
            &["eventKey"],
        ),
        (
            "POST",
            &subscriptions,
            json!({"eventKey": format!("a.{long}")}).to_string(),
            INVALID,
            &["eventKey"],
        ),
        (
            "POST",
            &subscriptions,
            r#"{"eventKey":"crm.**"}"#.into(),
            "CONFLICT",
            &[],
        ),
    ];
    let json = [("content-type", "application/json")];
    for (method, path, body, code, fields) in cases {
        let answer = app.admin.send(method, path, &json, body.clone()).await;
        check(&answer, code, fields, &format!("{method} {path} {body}"));
        let answer = app
            .admin
            .send(method, path, &[("content-type", "text/plain")], body)
            .await;
        check(
            &answer,
            "UNSUPPORTED_MEDIA_TYPE",
            &[],
            &format!("{method} {path} as text"),
        );
    }
    assert_eq!(crm.shown().await, before);
    let rows = async |path: &str| app.admin.get(path).await.expect(200).rows().len();
    assert_eq!(rows("/api/users").await, 2, "the admin and ann");
    assert_eq!(rows("/api/workspaces").await, 2, "the demo and ours");
    assert_eq!(rows(&extensions).await, 1);
    assert_eq!(rows(&subscriptions).await, 1);
    assert_eq!(rows(&workspace.path("/members")).await, 0);
    app.finish().await;
}

async fn ids_that_are_none_are_unknown(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let crm = workspace
        .install_at("crm", "http://127.0.0.1:1")
        .subscribed_to(&[])
        .await;
    for id in [
        "x",
        "%00",
        "..%2f",
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5d-ac96-774b-bcce-b302099a805",
    ] {
        for (method, path) in [
            ("GET", workspace.path(&format!("/events/{id}"))),
            ("GET", workspace.path(&format!("/events/dead-letters/{id}"))),
            (
                "POST",
                workspace.path(&format!("/events/dead-letters/{id}/replay")),
            ),
            (
                "POST",
                workspace.path(&format!("/events/dead-letters/{id}/discard")),
            ),
            ("GET", workspace.path(&format!("/extensions/{id}"))),
            ("DELETE", workspace.path(&format!("/extensions/{id}"))),
            ("DELETE", crm.path(&format!("/subscriptions/{id}"))),
            ("DELETE", workspace.path(&format!("/members/{id}"))),
        ] {
            let answer = app.api(method, &path, None).await;
            check(&answer, "NOT_FOUND", &[], &format!("{method} {path}"));
        }
        let unknown_user = workspace.put_member(id, "MEMBER").await;
        check(&unknown_user, "NOT_FOUND", &[], id);
    }
    app.finish().await;
}

//! Which events a subscription matches, and that no tenant sees those of another.

use serde_json::{Value, json};

use pointsman_test_kit::{Engine, Service, TestApp, Workspace, on_both_engines};

on_both_engines! {
    an_extension_gets_exactly_what_its_patterns_match,
    an_event_that_several_patterns_match_arrives_once,
    every_subscribed_extension_gets_the_event,
    a_subscription_is_listed_until_it_is_removed,
    workspaces_never_see_each_others_events,
    the_id_of_another_workspace_is_unknown_here,
    admins_of_one_workspace_have_no_say_in_another,
}

async fn an_extension_gets_exactly_what_its_patterns_match(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let keys = [
        "crm.deal",
        "crm.deal.closed",
        "crm.product.closed",
        "crm.deal.closed.late",
        "crmx.deal.closed",
    ];
    let expected: [(&str, &str, &[&str]); 5] = [
        ("exact", "crm.deal.closed", &["crm.deal.closed"]),
        ("star", "crm.*.closed", &["crm.deal.closed", "crm.product.closed"]),
        ("last-star", "crm.*", &["crm.deal"]),
        (
            "double-star",
            "crm.**",
            &[
                "crm.deal",
                "crm.deal.closed",
                "crm.product.closed",
                "crm.deal.closed.late",
            ],
        ),
        ("everything", "**", &keys),
    ];
    let mut services = Vec::new();
    for (name, pattern, _) in expected {
        let service = Service::start().await;
        workspace
            .install_external(name, &service)
            .subscribed_to(&[pattern])
            .await;
        services.push(service);
    }
    for key in keys {
        workspace.publish(key, json!({})).await;
    }

    for (service, (name, _, wanted)) in services.iter().zip(expected) {
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        assert_eq!(keys_of(service, wanted.len()).await, wanted, "{name}");
    }
    app.finish().await;
    for (service, (name, _, wanted)) in services.iter().zip(expected) {
        assert_eq!(service.count(), wanted.len() as u64, "{name}");
    }
}

async fn keys_of(service: &Service, count: usize) -> Vec<String> {
    let received = service.received(count as u64).await;
    let mut keys: Vec<String> = received
        .iter()
        .map(|received| {
            received.json().expect("the body is JSON")["eventKey"]
                .as_str()
                .unwrap_or("none")
                .to_owned()
        })
        .collect();
    keys.sort_unstable();
    keys
}

async fn an_event_that_several_patterns_match_arrives_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.deal.closed", "crm.*.closed", "crm.**", "**"])
        .await;
    let published = workspace.publish_many("crm.deal.closed", 5).await;
    assert_eq!(service.sorted_event_ids(5).await, published);
    app.finish().await;
    assert_eq!(service.count(), 5);
}

async fn every_subscribed_extension_gets_the_event(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let services = [
        Service::start().await,
        Service::start().await,
        Service::start().await,
    ];
    for (number, service) in services.iter().enumerate() {
        workspace
            .install_external(&format!("ext-{number}"), service)
            .subscribed_to(&["crm.**"])
            .await;
    }
    let published = workspace.publish_many("crm.deal.closed", 3).await;
    for service in &services {
        assert_eq!(service.sorted_event_ids(3).await, published);
    }
    app.finish().await;
}

async fn a_subscription_is_listed_until_it_is_removed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let crm = workspace
        .install_at("crm", "http://127.0.0.1:1")
        .subscribed_to(&["crm.**"])
        .await;
    let second = crm.subscribe("chat.*.received").await;
    let listed = app
        .admin
        .get(&crm.path("/subscriptions"))
        .await
        .expect(200)
        .rows();
    let keys: Vec<&Value> = listed.iter().map(|row| &row["eventKey"]).collect();
    assert_eq!(keys, ["chat.*.received", "crm.**"], "newest first");

    let again = app
        .admin
        .post(&crm.path("/subscriptions"), &json!({"eventKey": "crm.**"}))
        .await;
    again.expect_problem(409, "CONFLICT");
    crm.unsubscribe(&second).await;
    let gone = app
        .admin
        .delete(&crm.path(&format!("/subscriptions/{second}")))
        .await;
    gone.expect_problem(404, "NOT_FOUND");
    assert_eq!(
        app.admin
            .get(&crm.path("/subscriptions"))
            .await
            .expect(200)
            .rows()
            .len(),
        1
    );
    crm.subscribe("chat.*.received").await;
    app.finish().await;
}

/// Two workspaces with one extension each that wants everything.
async fn two_tenants(app: &TestApp) -> [(Workspace, Service); 2] {
    let mut tenants = Vec::new();
    for name in ["acme", "globex"] {
        let (workspace, service) = (app.workspace(name).await, Service::start().await);
        workspace
            .install_external("crm", &service)
            .subscribed_to(&["**"])
            .await;
        tenants.push((workspace, service));
    }
    tenants.try_into().ok().expect("there are two")
}

async fn workspaces_never_see_each_others_events(engine: Engine) {
    let app = TestApp::start(engine).await;
    let [(acme, acmes), (globex, globexs)] = two_tenants(&app).await;
    let ours = acme.publish_many("crm.deal.closed", 20).await;
    let theirs = globex.publish_many("crm.deal.closed", 10).await;

    assert_eq!(acmes.sorted_event_ids(20).await, ours);
    assert_eq!(globexs.sorted_event_ids(10).await, theirs);
    for received in globexs.received(10).await {
        assert_eq!(received.json().expect("the body is JSON")["tenantId"], globex.id);
    }
    let mut listed: Vec<String> = globex
        .events()
        .await
        .iter()
        .map(|event| event["id"].as_str().unwrap_or_default().to_owned())
        .collect();
    listed.sort();
    assert_eq!(listed, theirs);
    app.finish().await;
    assert_eq!((acmes.count(), globexs.count()), (20, 10));
}

async fn the_id_of_another_workspace_is_unknown_here(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&[])).await;
    let (acme, globex) = (app.workspace("acme").await, app.workspace("globex").await);
    let crm = acme
        .install_at("crm", "http://127.0.0.1:1")
        .subscribed_to(&["**"])
        .await;
    let subscription = crm.subscribe("a.b").await;
    let event = acme.publish("crm.deal.closed", json!({})).await;
    let letter = acme.dead_letters_become(1, "").await.remove(0);
    let letter = letter["id"].as_str().unwrap_or_default();

    let extension = format!("/extensions/{}", crm.id);
    for (method, rest) in [
        ("GET", format!("/events/{event}")),
        ("GET", extension.clone()),
        ("PATCH", extension.clone()),
        ("DELETE", extension.clone()),
        ("POST", format!("{extension}/rotate-secret")),
        ("POST", format!("{extension}/test")),
        ("POST", format!("{extension}/subscriptions")),
        ("GET", format!("{extension}/subscriptions")),
        ("DELETE", format!("{extension}/subscriptions/{subscription}")),
        ("GET", format!("/events/dead-letters/{letter}")),
        ("POST", format!("/events/dead-letters/{letter}/replay")),
        ("POST", format!("/events/dead-letters/{letter}/discard")),
    ] {
        let body = json!({"eventKey": "a.b"});
        let body = (method == "POST" || method == "PATCH").then_some(&body);
        let answer = app.api(method, &globex.path(&rest), body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "NOT_FOUND"),
            "{method} {rest}"
        );
    }
    assert!(globex.events().await.is_empty());
    assert!(globex.dead_letters("").await.is_empty());
    assert!(globex.get("/extensions").await.expect(200).rows().is_empty());
    assert_eq!(acme.dead_letter(letter).await["status"], "DEAD");
    assert_eq!(crm.shown().await["key"], "crm");
    app.finish().await;
}

async fn admins_of_one_workspace_have_no_say_in_another(engine: Engine) {
    let app = TestApp::start(engine).await;
    let [(acme, _acmes), (globex, globexs)] = two_tenants(&app).await;
    let ann = app.member(&acme, "ann", "ADMIN").await;
    let seen = globex.seen_by(&ann.caller);
    for rest in ["", "/events", "/extensions", "/members", "/events/dead-letters"] {
        seen.get(rest).await.expect_problem(403, "FORBIDDEN");
    }
    seen.publish_raw(r#"{"eventKey":"a.b"}"#)
        .await
        .expect_problem(403, "FORBIDDEN");
    seen.put_member(&ann.id, "ADMIN")
        .await
        .expect_problem(403, "FORBIDDEN");

    let listed = ann.caller.get("/api/workspaces").await.expect(200).rows();
    let ids: Vec<&Value> = listed.iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, [&json!(acme.id)]);
    app.finish().await;
    assert_eq!(globexs.count(), 0);
}

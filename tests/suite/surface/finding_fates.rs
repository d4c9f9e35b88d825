//! Events and dead letters are found by what became of them.

use pointsman_receive::Behavior;
use serde_json::{Value, json};

use pointsman_test_kit::{Engine, Service, TestApp, Workspace, on_both_engines};

on_both_engines! {
    events_are_found_by_what_became_of_them,
    letters_are_found_by_pattern_by_answer_and_by_how_the_last_attempt_ended,
}

async fn found(workspace: &Workspace, query: &str) -> Vec<i64> {
    let page = workspace.get(query).await.expect(200);
    assert_eq!(page.json()["nextCursor"], Value::Null, "{query}");
    page.rows().iter().filter_map(|row| row["seq"].as_i64()).collect()
}

async fn events_are_found_by_what_became_of_them(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&["1h"])).await;
    let (workspace, other) = (app.workspace("acme").await, app.workspace("globex").await);
    let (gone, failing) = (
        Service::behaving(Behavior::status(410)).await,
        Service::behaving(Behavior::status(500)).await,
    );
    let crm = workspace
        .install_external("crm", &gone)
        .subscribed_to(&["crm.**"])
        .await;
    let chat = workspace
        .install_external("chat", &failing)
        .subscribed_to(&["chat.**", "crm.both"])
        .await;
    let mut events = Vec::new();
    for key in ["a.b", "crm.one", "chat.one", "a.b", "crm.both", "crm.two"] {
        events.push(workspace.publish(key, json!({})).await);
    }
    for (event, extension, status) in [
        (1, &crm, "DEAD"),
        (2, &chat, "RETRYING"),
        (4, &crm, "DEAD"),
        (4, &chat, "RETRYING"),
        (5, &crm, "DEAD"),
    ] {
        workspace.becomes(&events[event], extension, status).await;
        workspace.attempts_become(1, &events[event], extension).await;
    }
    let letters = workspace.dead_letters("").await;
    let newest = letters[0]["id"].as_str().expect("a letter has an id");
    workspace.discard(newest).await.expect(200);
    let (crm, chat) = (&crm.id, &chat.id);
    for (query, expected) in [
        ("status=DEAD".to_owned(), vec![2, 5]),
        ("status=DISCARDED".to_owned(), vec![6]),
        ("status=REPLAYED".to_owned(), vec![]),
        ("status=RETRYING".to_owned(), vec![3, 5]),
        (format!("status=DEAD&extensionId={chat}"), vec![]),
        (format!("status=RETRYING&extensionId={chat}"), vec![3, 5]),
        ("status=DEAD&eventKey=*.both".to_owned(), vec![5]),
        ("outcome=HTTP_5XX".to_owned(), vec![3, 5]),
        ("outcome=HTTP_4XX".to_owned(), vec![2, 5, 6]),
        (
            format!("outcome=HTTP_4XX&extensionId={crm}&status=DEAD"),
            vec![2, 5],
        ),
        (format!("outcome=HTTP_4XX&extensionId={chat}"), vec![]),
        ("outcome=TIMEOUT".to_owned(), vec![]),
    ] {
        let upwards = found(&workspace, &format!("/events?order=asc&{query}")).await;
        assert_eq!(upwards, expected, "{query}");
        let downwards = found(&workspace, &format!("/events?{query}")).await;
        assert_eq!(
            downwards,
            expected.into_iter().rev().collect::<Vec<_>>(),
            "{query}"
        );
        assert_eq!(
            found(&other, &format!("/events?{query}")).await,
            [0; 0],
            "{query}"
        );
    }
    app.finish_leaving_unsettled().await;
}

async fn letters_are_found_by_pattern_by_answer_and_by_how_the_last_attempt_ended(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&[])).await;
    let workspace = app.workspace("acme").await;
    let (gone, failing) = (
        Service::behaving(Behavior::status(410)).await,
        Service::behaving(Behavior::status(503)).await,
    );
    for (key, url) in [
        ("crm", gone.url()),
        ("chat", failing.url()),
        ("down", "http://127.0.0.1:1".to_owned()),
    ] {
        let extension = workspace
            .install_at(key, url)
            .subscribed_to(&[&format!("{key}.**")])
            .await;
        let event = workspace.publish(&format!("{key}.a.b"), json!({})).await;
        workspace.becomes(&event, &extension, "DEAD").await;
        workspace.attempts_become(1, &event, &extension).await;
    }
    let found = async |list: &str, query: &str| -> Vec<String> {
        let page = app.admin.get(&format!("{list}?{query}")).await.expect(200);
        let keys = page
            .rows()
            .into_iter()
            .map(|row| row["extensionKey"].as_str().map(str::to_owned));
        keys.map(|key| key.expect("a letter has the key of its extension"))
            .collect()
    };
    for (query, expected) in [
        ("eventKey=*.a.b", vec!["down", "chat", "crm"]),
        ("eventKey=crm.**", vec!["crm"]),
        ("eventKey=crm.*", vec![]),
        ("httpStatus=503", vec!["chat"]),
        ("httpStatus=4xx", vec!["crm"]),
        ("httpStatus=500", vec![]),
        ("outcome=CONNECT", vec!["down"]),
        ("outcome=HTTP_5XX", vec!["chat"]),
        ("outcome=HTTP_5XX&httpStatus=4xx", vec![]),
        ("outcome=DELIVERED", vec![]),
    ] {
        for list in [
            workspace.path("/events/dead-letters"),
            "/api/dead-letters".to_owned(),
        ] {
            assert_eq!(found(&list, query).await, expected, "{list}?{query}");
        }
    }
    app.finish().await;
}

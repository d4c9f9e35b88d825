//! The payload of an event is erased: nobody reads it any more, and nothing of it is delivered.

use pointsman_receive::Behavior;
use serde_json::{Value, json};

use pointsman_test_kit::{Engine, Service, TestApp, Workspace, on_both_engines};

on_both_engines! {
    an_erased_event_is_a_tombstone_for_everybody,
    what_is_still_due_ends_as_erased,
}

async fn erase(workspace: &Workspace, event: &str) -> Value {
    let erased = workspace
        .post(&format!("/events/{event}/erase"), &json!({}))
        .await;
    erased.expect(200).data()
}

async fn an_erased_event_is_a_tombstone_for_everybody(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior {
        status: 410,
        body: "I know no Erika".into(),
        ..Behavior::default()
    })
    .await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let body = json!({"eventKey": "crm.contact", "actor": "Erika", "payload": {"name": "Erika"}}).to_string();
    let published = workspace.publish_raw(body).await.expect(200);
    let event = published.header("x-event-id").expect("an id").to_owned();
    let other = workspace.publish("crm.contact", json!({"name": "Erika"})).await;
    workspace.dead_letters_become(2, "").await;
    workspace.attempts_become(1, &event, &crm).await;
    let before = workspace.event(&event).await;

    let erased = erase(&workspace, &event).await;

    let what = json!({"log": 1, "deadLetters": 1, "attempts": 1, "chatMessages": 0});
    assert_eq!(erased["what"], what);
    let shown = workspace.event(&event).await;
    assert_eq!(shown["erased"], erased);
    for (member, expected) in [
        ("payload", &Value::Null),
        ("actor", &Value::Null),
        ("seq", &before["seq"]),
        ("eventKey", &before["eventKey"]),
        ("occurredAt", &before["occurredAt"]),
    ] {
        assert_eq!(&shown[member], expected, "{member}");
    }
    assert!(shown.get("corrupt").is_none(), "{shown}");
    assert!(!shown.to_string().contains("Erika"), "{shown}");
    let letter = shown["deliveries"][0]["deadLetterId"].as_str().expect("a letter");
    let of_letter = workspace.dead_letter(letter).await;
    assert_eq!(
        (&of_letter["payload"], &of_letter["reason"]),
        (&Value::Null, &json!("GONE"))
    );
    assert!(!of_letter.to_string().contains("Erika"), "{of_letter}");
    workspace.replay(letter).await.expect_problem(409, "CONFLICT");
    for text in ["Erika", "null"] {
        let found = workspace
            .get(&format!("/events?text={text}"))
            .await
            .expect(200)
            .rows();
        let ids: Vec<&Value> = found.iter().map(|event| &event["id"]).collect();
        let expected = if text == "Erika" {
            vec![json!(other)]
        } else {
            Vec::new()
        };
        assert_eq!(ids, expected.iter().collect::<Vec<_>>(), "{text}");
    }
    assert_eq!(erase(&workspace, &event).await, erased);
    let unknown = "/events/01890a5d-ac96-774b-bcce-b302099a8057/erase";
    workspace
        .post(unknown, &json!({}))
        .await
        .expect_problem(404, "NOT_FOUND");
    app.finish().await;
}

async fn what_is_still_due_ends_as_erased(engine: Engine) {
    let mut app = TestApp::with(engine, |settings| settings.retrying_after(&["1h"; 3])).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior {
        fail_first: 1,
        ..Behavior::default()
    })
    .await;
    let fails = workspace
        .install_external("fails", &service)
        .subscribed_to(&["crm.parked"])
        .await;
    let waits = workspace
        .install_external("waits", &service)
        .subscribed_to(&["crm.waiting"])
        .await;
    let parked = workspace.publish("crm.parked", json!({"name": "Erika"})).await;
    workspace.becomes(&parked, &fails, "RETRYING").await;
    waits.pause().await;
    let waiting = workspace.publish("crm.waiting", json!({"name": "Erika"})).await;
    let kept = workspace.publish("crm.waiting", json!({"name": "Max"})).await;

    for event in [&parked, &waiting] {
        erase(&workspace, event).await;
    }
    waits.resume().await;
    assert_eq!(service.event_ids(2).await, [parked.clone(), kept]);
    let given_up = workspace.becomes(&waiting, &waits, "DEAD").await;
    assert_eq!(given_up["deadLetterReason"], "ERASED");

    app.kill();
    app.start_again().await;
    assert_eq!(workspace.delivery_status(&parked, &fails).await, "RETRYING");
    fails.uninstall().await;
    let given_up = workspace.becomes(&parked, &fails, "DEAD").await;
    assert_eq!(given_up["deadLetterReason"], "ERASED");
    app.finish().await;
    let ids = service.event_ids(2).await;
    // The other event may have been sent once more after the kill.
    let of = |event: &String| ids.iter().filter(|id| *id == event).count();
    assert_eq!((of(&parked), of(&waiting)), (1, 0), "{ids:?}");
}

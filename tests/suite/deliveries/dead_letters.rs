//! Dead letters: read, filtered, replayed, discarded.

use pointsman_receive::Behavior;
use serde_json::{Value, json};

use pointsman_test_kit::{
    Caller, Engine, Extension, Service, TestApp, Workspace, eventually, on_both_engines,
};

on_both_engines! {
    a_replay_delivers_the_copy_to_the_one_that_failed,
    a_replay_that_fails_is_dead_again_with_one_attempt_more,
    a_letter_that_is_being_replayed_is_left_alone,
    a_letter_that_is_done_with_stays_so,
    a_replay_to_a_disabled_extension_is_a_conflict,
    a_replay_may_name_the_next_installation_of_the_extension,
    a_replay_goes_on_after_a_kill,
    letters_are_filtered_and_paged,
    letters_are_listed_oldest_first_on_request,
    letters_of_all_workspaces_are_listed_for_global_admins,
}

/// Anything that answers 410 makes a dead letter of everything it gets.
async fn one_letter(workspace: &Workspace, service: &Service) -> (Extension, String, String) {
    service.behave(Behavior::status(410));
    let crm = workspace
        .install_external("crm", service)
        .subscribed_to(&["crm.**"])
        .await;
    let event = workspace
        .publish("crm.deal.closed", json!({"amount": "5000.00"}))
        .await;
    let letter = workspace.dead_letters_become(1, "").await.remove(0);
    (crm, event, id_of(&letter))
}

fn id_of(row: &Value) -> String {
    row["id"].as_str().expect("every row has an id").to_owned()
}

async fn a_replay_delivers_the_copy_to_the_one_that_failed(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let (service, other) = (Service::start().await, Service::start().await);
    workspace
        .install_external("other", &other)
        .subscribed_to(&["**"])
        .await;
    let (crm, event, letter) = one_letter(&workspace, &service).await;

    service.behave(Behavior::default());
    assert_eq!(
        workspace.replay(&letter).await.expect(202).body,
        r#"{"code":"SUCCESS"}"#
    );
    let shown = workspace.letter_becomes(&letter, "REPLAYED").await;
    assert!(shown["replayedAt"].is_string(), "{shown}");
    let received = service.received(2).await;
    assert_eq!(received[1].body, received[0].body);
    assert_eq!(received[1].event_id(), Some(event.as_str()));
    assert_eq!(workspace.delivery_status(&event, &crm).await, "REPLAYED");
    eventually("the replay is in the history", async || {
        let attempts = workspace.dead_letter(&letter).await["attempts"].take();
        if attempts[1]["kind"] == "REPLAY" && attempts[1]["outcome"] == "DELIVERED" {
            Ok(())
        } else {
            Err(attempts)
        }
    })
    .await;
    app.finish().await;
    assert_eq!((service.count(), other.count()), (2, 1));
}

async fn a_replay_that_fails_is_dead_again_with_one_attempt_more(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let (_, _, letter) = one_letter(&workspace, &service).await;
    for (attempts, status) in [(2, 500), (3, 503)] {
        service.behave(Behavior::status(status));
        workspace.replay(&letter).await.expect(202);
        eventually("the letter is dead again", async || {
            let shown = workspace.dead_letter(&letter).await;
            let ended = ["status", "attemptsMade", "lastStatus"].map(|member| shown[member].clone());
            if ended == [json!("DEAD"), json!(attempts), json!(status)] {
                Ok(())
            } else {
                Err(shown)
            }
        })
        .await;
    }
    service.behave(Behavior::default());
    workspace.replay(&letter).await.expect(202);
    workspace.letter_becomes(&letter, "REPLAYED").await;
    app.finish().await;
    assert_eq!(service.count(), 4);
}

async fn a_letter_that_is_being_replayed_is_left_alone(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.set("delivery.timeout", "1s")).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let (crm, event, letter) = one_letter(&workspace, &service).await;
    service.behave(Behavior::hang());
    workspace.replay(&letter).await.expect(202);
    service.received(2).await;

    assert_eq!(workspace.dead_letter(&letter).await["status"], "REPLAYING");
    assert_eq!(workspace.delivery_status(&event, &crm).await, "RETRYING");
    workspace.replay(&letter).await.expect_problem(409, "CONFLICT");
    workspace.discard(&letter).await.expect_problem(409, "CONFLICT");
    workspace.letter_becomes(&letter, "DEAD").await;
    app.finish().await;
    assert_eq!(service.count(), 2);
}

async fn a_letter_that_is_done_with_stays_so(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let (crm, _, replayed) = one_letter(&workspace, &service).await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    let discarded = workspace.becomes(&event, &crm, "DEAD").await;
    let discarded = discarded["deadLetterId"]
        .as_str()
        .expect("the delivery names its letter");

    assert_eq!(
        workspace.discard(discarded).await.expect(200).body,
        r#"{"code":"SUCCESS"}"#
    );
    assert_eq!(workspace.dead_letter(discarded).await["status"], "DISCARDED");
    service.behave(Behavior::default());
    workspace.replay(&replayed).await.expect(202);
    workspace.letter_becomes(&replayed, "REPLAYED").await;
    for letter in [discarded, &replayed] {
        workspace.replay(letter).await.expect_problem(409, "CONFLICT");
        workspace.discard(letter).await.expect_problem(409, "CONFLICT");
    }
    app.finish().await;
    assert_eq!(service.count(), 3);
}

async fn a_replay_to_a_disabled_extension_is_a_conflict(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let (crm, _, letter) = one_letter(&workspace, &service).await;
    service.behave(Behavior::default());
    crm.disable().await;
    workspace.replay(&letter).await.expect_problem(409, "CONFLICT");
    assert_eq!(workspace.dead_letter(&letter).await["status"], "DEAD");

    crm.enable().await;
    workspace.replay(&letter).await.expect(202);
    workspace.letter_becomes(&letter, "REPLAYED").await;
    app.finish().await;
    assert_eq!(service.count(), 2);
}

async fn a_replay_may_name_the_next_installation_of_the_extension(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let (former, service) = (Service::start().await, Service::start().await);
    let (crm, event, letter) = one_letter(&workspace, &former).await;
    crm.uninstall().await;
    workspace.replay(&letter).await.expect_problem(409, "CONFLICT");
    let next = workspace
        .install_external("crm", &service)
        .subscribed_to(&[])
        .await;
    let other = workspace
        .install_external("other", &former)
        .subscribed_to(&[])
        .await;

    let replay = format!("/events/dead-letters/{letter}/replay");
    let to_another = workspace.post(&replay, &json!({"extensionId": other.id})).await;
    to_another.expect_problem(409, "CONFLICT");
    workspace
        .post(&replay, &json!({"extensionId": next.id}))
        .await
        .expect(202);
    workspace.letter_becomes(&letter, "REPLAYED").await;
    assert_eq!(service.event_ids(1).await, [event]);
    app.finish().await;
    assert_eq!((former.count(), service.count()), (1, 1));
}

async fn a_replay_goes_on_after_a_kill(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let (_, event, letter) = one_letter(&workspace, &service).await;
    service.behave(Behavior::hang());
    workspace.replay(&letter).await.expect(202);
    service.received(2).await;

    app.kill();
    service.behave(Behavior::default());
    app.start_again().await;
    workspace.letter_becomes(&letter, "REPLAYED").await;
    assert_eq!(service.event_ids(3).await, vec![event; 3]);
    app.finish().await;
    assert_eq!(service.count(), 3);
}

/// Ids of the letters that a filter lets through, newest first.
async fn found(workspace: &Workspace, filter: &str) -> Vec<String> {
    workspace.dead_letters(filter).await.iter().map(id_of).collect()
}

async fn letters_are_filtered_and_paged(engine: Engine) {
    let app = TestApp::with(engine, |settings| settings.retrying_after(&[])).await;
    let workspace = app.workspace("acme").await;
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
        .subscribed_to(&["chat.**"])
        .await;
    let mut letters = Vec::new();
    for (key, extension) in [
        ("crm.deal.closed", &crm),
        ("crm.product.created", &crm),
        ("chat.message.received", &chat),
        ("crm.deal.closed", &crm),
    ] {
        let event = workspace.publish(key, json!({})).await;
        let delivery = workspace.becomes(&event, extension, "DEAD").await;
        letters.push(
            delivery["deadLetterId"]
                .as_str()
                .expect("the delivery names its letter")
                .to_owned(),
        );
    }
    workspace.discard(&letters[1]).await.expect(200);

    let (crm, chat) = (&crm.id, &chat.id);
    let third = workspace.dead_letter(&letters[2]).await;
    let at = third["failedAt"].as_str().expect("a time");
    let within = at.replace('Z', "5Z");
    let cases: [(String, &[usize]); 11] = [
        (String::new(), &[3, 2, 1, 0]),
        (format!("extensionId={crm}"), &[3, 1, 0]),
        (format!("extensionId={chat}"), &[2]),
        ("eventKey=crm.deal.closed".to_owned(), &[3, 0]),
        ("status=DEAD".to_owned(), &[3, 2, 0]),
        ("status=DISCARDED".to_owned(), &[1]),
        ("reason=GONE&status=DEAD".to_owned(), &[3, 0]),
        (format!("from={at}"), &[3, 2]),
        (format!("to={at}"), &[1, 0]),
        (format!("to={within}"), &[2, 1, 0]),
        ("status=REPLAYED".to_owned(), &[]),
    ];
    for (filter, expected) in cases {
        let expected: Vec<String> = expected.iter().map(|number| letters[*number].clone()).collect();
        assert_eq!(found(&workspace, &filter).await, expected, "{filter}");
    }
    let paged = pages_of(&app.admin, &workspace.path("/events/dead-letters?limit=3")).await;
    let newest_first: Vec<String> = letters.iter().rev().cloned().collect();
    assert_eq!(paged, [&newest_first[..3], &newest_first[3..]]);
    app.finish().await;
}

async fn letters_are_listed_oldest_first_on_request(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::behaving(Behavior::status(410)).await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let mut letters = Vec::new();
    for _ in 0..5 {
        let event = workspace.publish("crm.deal.closed", json!({})).await;
        let delivery = workspace.becomes(&event, &crm, "DEAD").await;
        letters.push(delivery["deadLetterId"].as_str().unwrap_or_default().to_owned());
    }
    let across = format!("/api/dead-letters?workspaceId={}", workspace.id);
    let lists = [
        workspace.path("/events/dead-letters?status=DEAD"),
        "/api/dead-letters?status=DEAD".to_owned(),
        across,
    ];
    for list in lists {
        let oldest_first = pages_of(&app.admin, &format!("{list}&order=asc&limit=2")).await;
        assert_eq!(
            oldest_first,
            [&letters[..2], &letters[2..4], &letters[4..]],
            "{list}"
        );
        let newest_first: Vec<String> = letters.iter().rev().cloned().collect();
        for order in ["", "&order=desc"] {
            let pages = pages_of(&app.admin, &format!("{list}{order}&limit=5")).await;
            assert_eq!(pages, [newest_first.as_slice()], "{list}{order}");
        }
        for (order, other) in [("asc", "desc"), ("desc", "asc")] {
            let page = app.admin.get(&format!("{list}&order={order}&limit=2")).await;
            let cursor = page.json()["nextCursor"].as_str().unwrap_or_default().to_owned();
            let wrong = app
                .admin
                .get(&format!("{list}&order={other}&cursor={cursor}"))
                .await
                .expect_problem(400, "VALIDATION_FAILED");
            assert_eq!(wrong.wrong_fields(), ["cursor"], "{list}");
        }
        let wrong = app.admin.get(&format!("{list}&order=up")).await;
        assert_eq!(wrong.wrong_fields(), ["order"], "{list}");
    }
    app.finish().await;
}

/// The ids of each page of a list, from the first to the last.
async fn pages_of(caller: &Caller, list: &str) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = caller.get(&format!("{list}{cursor}")).await.expect(200);
        pages.push(page.rows().iter().map(id_of).collect());
        match page.json()["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

async fn letters_of_all_workspaces_are_listed_for_global_admins(engine: Engine) {
    let app = TestApp::start(engine).await;
    let mut letters = Vec::new();
    let mut workspaces = Vec::new();
    for name in ["acme", "globex"] {
        let (workspace, service) = (app.workspace(name).await, Service::start().await);
        letters.push(one_letter(&workspace, &service).await.2);
        workspaces.push(workspace.id);
    }
    let listed = async |query: String| -> Vec<String> {
        let rows = app
            .admin
            .get(&format!("/api/dead-letters{query}"))
            .await
            .expect(200)
            .rows();
        rows.iter().map(id_of).collect()
    };
    assert_eq!(
        listed(String::new()).await,
        [letters[1].clone(), letters[0].clone()]
    );
    assert_eq!(
        listed(format!("?workspaceId={}", workspaces[0])).await,
        [letters[0].clone()]
    );
    assert_eq!(listed("?status=REPLAYED".to_owned()).await, [""; 0]);
    app.finish().await;
}

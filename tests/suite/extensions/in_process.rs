//! Extensions in the process of the real server: kills, and handlers that compute.

use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::{Value, json};

use pointsman_test_kit::{Engine, GatedService, Service, TestApp, Workspace, eventually, on_both_engines};

on_both_engines! {
    what_a_kill_interrupts_before_its_commit_is_done_once,
    an_effect_that_is_done_is_not_repeated_where_the_cursor_could_not_pass_it,
    effects_are_done_once_whenever_the_server_is_killed,
    a_handler_that_computes_delays_no_others,
    every_attempt_that_panics_somewhere_ends,
}

/// A server whose handlers stop at a gate.
async fn host(engine: Engine) -> (TestApp, GatedService) {
    let gate = GatedService::start().await;
    let app = TestApp::with(engine, |settings| {
        // The longest that is allowed: a test holds effects, and kills.
        settings
            .example("test_host")
            .set("in_process.effect_timeout", "4s")
            .with_variable("TEST_GATE", gate.address())
    })
    .await;
    (app, gate)
}

async fn install(workspace: &Workspace, key: &str) -> String {
    let extension = json!({"key": key, "deliveryType": "IN_PROCESS"});
    let installed = workspace.post("/extensions", &extension).await.expect(201).data();
    installed["id"].as_str().unwrap_or_default().to_owned()
}

async fn entries(app: &TestApp) -> Vec<String> {
    let database = app.database().await;
    let sql = "SELECT entry FROM ledger ORDER BY entry";
    let statement = Statement::from_string(database.get_database_backend(), sql);
    // There is no table before the first entry.
    let rows = database.query_all_raw(statement).await.unwrap_or_default();
    let entries = rows
        .iter()
        .map(|row| row.try_get("", "entry").expect("it is a text"));
    let entries = entries.collect();
    database.close().await.expect("it can be closed");
    entries
}

/// What was announced, by the entry.
async fn announced(workspace: &Workspace) -> Vec<String> {
    let events = workspace.events().await;
    let entered = events
        .iter()
        .filter(|event| event["eventKey"] == "ledger.entered");
    let entry = |event: &Value| event["payload"]["entry"].as_str().unwrap_or_default().to_owned();
    let mut announced: Vec<String> = entered.map(entry).collect();
    announced.sort();
    announced
}

async fn what_a_kill_interrupts_before_its_commit_is_done_once(engine: Engine) {
    let (mut app, gate) = host(engine).await;
    let workspace = app.workspace("acme").await;
    install(&workspace, "ledger").await;
    // The effect is held twice before the kill: first where others share its transaction, which it has to leave, then
    // by itself.
    for (place, held) in [("handler", 1), ("effect", 4)] {
        let payload = json!({"entry": place, "hold": place});
        workspace.publish("ledger.entry", payload).await;
        // The first is attempted again when the server is back.
        gate.arrived(held).await;
        app.kill();
        assert!(
            !entries(&app).await.contains(&place.to_owned()),
            "nothing of it is durable"
        );
        app.start_again().await;
    }
    gate.open();
    app.settled().await;
    assert_eq!(entries(&app).await, ["effect", "handler"]);
    assert_eq!(announced(&workspace).await, ["effect", "handler"]);
    app.finish().await;
}

/// The first event is never done, so that the cursor stays before what the second has done.
async fn an_effect_that_is_done_is_not_repeated_where_the_cursor_could_not_pass_it(engine: Engine) {
    let (mut app, gate) = host(engine).await;
    let workspace = app.workspace("acme").await;
    install(&workspace, "ledger").await;
    workspace.publish("ledger.wait", json!({})).await;
    gate.arrived(1).await;
    workspace
        .publish("ledger.entry", json!({"entry": "second"}))
        .await;
    eventually("the entry is there", async || {
        let entries = entries(&app).await;
        if entries == ["second"] {
            Ok(())
        } else {
            Err(format!("{entries:?}"))
        }
    })
    .await;
    for _ in 0..2 {
        app.kill();
        app.start_again().await;
    }
    gate.open();
    app.settled().await;
    assert_eq!(entries(&app).await, ["second"]);
    assert_eq!(announced(&workspace).await, ["second"]);
    app.finish().await;
}

async fn effects_are_done_once_whenever_the_server_is_killed(engine: Engine) {
    let (mut app, _gate) = host(engine).await;
    let workspace = app.workspace("acme").await;
    install(&workspace, "ledger").await;
    let mut published = Vec::new();
    for round in 0..4 {
        // In the last rounds the effects are slow, and are run in the way of slow effects.
        let hold = (round >= 2).then_some("a while");
        for number in 0..20 {
            let entry = format!("{round}-{number:02}");
            let payload = json!({"entry": entry, "hold": hold});
            workspace.publish("ledger.entry", payload).await;
            published.push(entry);
        }
        eventually("effects of the round are on their way", async || {
            let entries = entries(&app).await;
            if entries.len() > round * 20 {
                Ok(())
            } else {
                Err(entries.len())
            }
        })
        .await;
        app.kill();
        app.start_again().await;
    }
    app.settled().await;
    assert_eq!(entries(&app).await, published, "each once, and none is lost");
    assert_eq!(announced(&workspace).await, published);
    app.finish().await;
}

async fn a_handler_that_computes_delays_no_others(engine: Engine) {
    let (app, gate) = host(engine).await;
    let (acme, globex) = (app.workspace("acme").await, app.workspace("globex").await);
    let service = Service::start().await;
    for workspace in [&acme, &globex] {
        for key in ["cruncher", "quick"] {
            install(workspace, key).await;
        }
    }
    let crm = acme
        .install_external("crm", &service)
        .subscribed_to(&["quick.*"])
        .await;
    // More than it has threads.
    for _ in 0..8 {
        acme.publish("crunch.numbers", json!({})).await;
    }
    gate.arrived(1).await;
    for workspace in [&acme, &globex] {
        for key in ["quick.sync", "quick.async"] {
            let event = workspace.publish(key, json!({})).await;
            eventually("it is handled", async || {
                let deliveries = workspace.event(&event).await["deliveries"].clone();
                let of_quick = deliveries.as_array().into_iter().flatten();
                let status = of_quick
                    .filter(|one| one["extensionKey"] == "quick")
                    .map(|one| &one["status"])
                    .next();
                if status == Some(&json!("DELIVERED")) {
                    Ok(())
                } else {
                    Err(deliveries)
                }
            })
            .await;
            if workspace.id == acme.id {
                acme.becomes(&event, &crm, "DELIVERED").await;
            }
        }
    }
    gate.open();
    app.finish().await;
}

async fn every_attempt_that_panics_somewhere_ends(engine: Engine) {
    let app = TestApp::with(engine, |settings| {
        settings
            .example("test_host")
            .retrying_after(&[])
            .set("in_process.async_timeout", "200ms")
    })
    .await;
    let workspace = app.workspace("acme").await;
    let traps = workspace.path(&format!("/extensions/{}", install(&workspace, "traps").await));
    let ordered = json!({"ordered": true, "concurrency": 1});
    app.api("PATCH", &traps, Some(&ordered)).await.expect(200);
    for (number, (key, deed, error)) in [
        ("traps.sync", "display", "Display panics"),
        ("traps.async", "display", "Display panics"),
        ("traps.sync", "source", "source panics"),
        ("traps.sync", "panic", "panicked: no message ("),
        ("traps.sync", "thread", "the thread of the handler has ended"),
        ("traps.async", "thread", "the thread of the handler has ended"),
        ("traps.async", "hang", "the handler did not finish within 200 ms"),
        ("traps.sync", "effect", "Display panics"),
        ("traps.async", "effect panics", "panicked: no message ("),
    ]
    .into_iter()
    .enumerate()
    {
        workspace.publish(key, json!({"do": deed})).await;
        let letter = workspace.dead_letters_become(number + 1, "").await.remove(0);
        let told = letter["lastError"].as_str().unwrap_or_default();
        assert!(told.contains(error), "{deed}: {letter}");
    }
    // In an ordered lane it waits for all of them.
    let behind = workspace.publish("traps.async", json!({"do": "nothing"})).await;
    eventually("what is behind them is handled", async || {
        let deliveries = workspace.event(&behind).await["deliveries"].take();
        match deliveries[0]["status"] == "DELIVERED" {
            true => Ok(()),
            false => Err(deliveries),
        }
    })
    .await;
    app.finish().await;
}

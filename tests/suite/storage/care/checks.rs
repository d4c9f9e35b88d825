//! `pointsman check`.

use std::time::Duration;

use futures_util::future::join;
use pointsman_receive::Behavior;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use super::run;
use pointsman_test_kit::{Engine, Load, Service, TestApp, Workspace, on_both_engines};

on_both_engines! {
    nothing_is_wrong_while_everything_is_in_motion,
    what_is_wrong_is_a_line_each_and_the_exit_code,
}

/// Letters are replayed and discarded, and the extension is held and changed, until `load` is over.
async fn meddle(workspace: &Workspace, flaky: &Service, load: &Load, times: usize) {
    let extension = workspace
        .install_external("flaky", flaky)
        .subscribed_to(&["crm.**"])
        .await;
    for round in 0..times {
        load.acknowledges(40).await;
        for letter in workspace.dead_letters("status=DEAD").await.iter().take(4) {
            let id = letter["id"].as_str().expect("an id");
            // It may have been changed meanwhile: either answer is right.
            let _ = workspace.replay(id).await;
        }
        match round % 3 {
            0 => extension.disable().await,
            1 => extension.enable().await,
            _ => {
                extension
                    .unsubscribe(&extension.subscribe(&format!("crm.round{round}")).await)
                    .await
            }
        }
    }
    extension.enable().await;
}

async fn nothing_is_wrong_while_everything_is_in_motion(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let slow = Service::behaving(Behavior {
        fail_first: 10,
        delay: Duration::from_millis(5),
        ..Behavior::default()
    })
    .await;
    workspace
        .install_external("slow", &slow)
        .subscribed_to(&["crm.**"])
        .await;
    let flaky = Service::behaving(Behavior {
        // One in ten, so that no breaker opens.
        fail_where: Some(("5}".to_owned(), 410)),
        ..Behavior::default()
    })
    .await;
    let load = Load::on(&workspace);
    let scripted = async {
        let checks = async {
            for _ in 0..8 {
                let said = run(&app, &["check"]).await;
                assert!(said.starts_with("nothing is wrong"), "{said}");
            }
        };
        join(checks, meddle(&workspace, &flaky, &load, 9)).await;
        load.stop();
    };
    join(load.publish(), scripted).await;
    app.settled().await;
    let said = run(&app, &["check"]).await;
    assert!(said.contains("3 installations"), "{said}");
    app.finish().await;
}

async fn what_is_wrong_is_a_line_each_and_the_exit_code(engine: Engine) {
    let mut app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    workspace.publish_many("crm.deal.closed", 60).await;
    assert!(app.stop().await.success());
    let database = app.database().await;
    let holes = "DELETE FROM platform_event WHERE seq % 2 = 0 AND seq < 60";
    database
        .execute_unprepared(holes)
        .await
        .expect("events can be removed");
    let ended = app.run(&["check"], |settings| settings).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(1), ""), "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 22, "{ended:?}");
    assert_eq!(
        lines[0],
        format!("gap in a log: workspace {}: no event at 2", workspace.id)
    );
    assert_eq!(lines[20], "gap in a log: 9 more");
    assert_eq!(
        lines[21],
        "wrong: 29 things; looked at 31 events in 1 log, and 1 installation"
    );

    let ended = app.run(&["check", "--json"], |settings| settings).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let shown: serde_json::Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
    assert_eq!(shown["wrong"], 29);
    assert_eq!(shown["findings"].as_array().map(Vec::len), Some(20));
    assert_eq!(shown["leftOut"], json!([{"kind": "gap in a log", "more": 9}]));
    app.clean_up(database).await;
}

#[actix_web::test]
async fn no_master_key_is_made_by_a_check_and_no_database() {
    let app = TestApp::start(Engine::Sqlite).await;
    let url = format!("sqlite://{}/elsewhere/none.db", app.folder().display());
    let ended = app
        .run(&["check"], |settings| settings.set("database.url", url))
        .await;
    super::refused(&ended, &["none.db", "there is no database"]);
    assert!(!app.folder().join("elsewhere").exists());
    app.finish().await;
}

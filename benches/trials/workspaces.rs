//! Many workspaces of which few are active.

use std::time::Duration;

use crate::{
    arguments::{self, Arguments},
    fill::Fill,
    load::{Departures, Door},
    report,
    services::Watching,
};

const ACTIVE: usize = 100;
const EVENTS_EACH: u64 = 20;

pub(crate) async fn run(arguments: &Arguments) {
    let count = arguments.events / 10;
    report::title(&format!(
        "workspaces: {count}, of which {ACTIVE} are active, {}",
        arguments.engine_name()
    ));
    let mut app = arguments
        .server(|settings| settings.set("router.passivate_after", "2s"))
        .await;
    let service = Watching::start(Departures::new(0)).await;
    let mut active = Vec::new();
    let mut crm = None;
    for number in 0..ACTIVE {
        let workspace = app.workspace(&format!("active-{number}")).await;
        crm = Some(
            workspace
                .install_at("crm", service.url())
                .subscribed_to(&["crm.**"])
                .await,
        );
        active.push(workspace);
    }
    app.restart().await;
    let empty = app.resident_bytes();
    app.stop().await;
    let fill = Fill::of(&app).await;
    fill.workspaces(&crm.expect("there are some").id, count).await;
    fill.end().await;
    app.start_again().await;
    let idle = app.resident_bytes();
    for workspace in &active {
        let mut publisher = Door::of(&app, workspace).publisher().await.expect("it accepts");
        for number in 0..EVENTS_EACH {
            assert_eq!(publisher.publish(number).await.expect("it answers"), 200);
        }
    }
    service.arrived(EVENTS_EACH * ACTIVE as u64).await;
    let busy = app.resident_bytes();
    // Longer than it takes to put idle workspaces away.
    tokio::time::sleep(Duration::from_secs(6)).await;
    report::line(&format!(
        "memory: without the idle ones {}, with them {}, with {ACTIVE} active {}, once these are idle {}",
        report::mebibytes(empty),
        report::mebibytes(idle),
        report::mebibytes(busy),
        report::mebibytes(app.resident_bytes()),
    ));
    arguments::end(app).await;
}

//! More publishers than are admitted.

use crate::{
    arguments::{self, Arguments},
    load::{Departures, Door, Flood, OpenLoop},
    report::{self, Sample},
};

const WORKSPACES: usize = 8;
const CONNECTIONS: usize = 512;
const ADMITTED: usize = 64;
const PER_SECOND: u32 = 100;

pub(crate) async fn run(arguments: &Arguments) {
    report::title(&format!(
        "overload: {CONNECTIONS} connections, publish.max_in_flight = {ADMITTED}, {}",
        arguments.engine_name()
    ));
    let app = arguments
        .server(|settings| settings.set("publish.max_in_flight", ADMITTED))
        .await;
    let mut doors = Vec::new();
    for number in 0..WORKSPACES {
        doors.push(Door::of(&app, &app.workspace(&format!("acme-{number}")).await));
    }
    normal(&doors[0], arguments).await;
    let before = normal(&doors[0], arguments).await;
    let empty = app.resident_bytes();
    let mut memory = Vec::new();
    let flood = Flood::start(doors.clone(), CONNECTIONS);
    let mut ticks = tokio::time::interval(arguments.phase / 6);
    ticks.tick().await;
    for _ in 0..6 {
        ticks.tick().await;
        memory.push(report::mebibytes(app.resident_bytes()));
    }
    let flooded = flood.stop().await;
    let after = normal(&doors[0], arguments).await;

    report::line(report::HEAD);
    report::row("publish before", &before);
    report::row("admitted under overload", &flooded.admitted);
    report::row("refused with 503", &flooded.refused);
    report::row("publish afterwards", &after);
    report::line(&format!(
        "neither: {}; memory before {}, during {}, afterwards {}",
        flooded.other,
        report::mebibytes(empty),
        memory.join(", "),
        report::mebibytes(app.resident_bytes())
    ));
    arguments::end(app).await;
}

async fn normal(door: &Door, arguments: &Arguments) -> Sample {
    let load = OpenLoop {
        door: door.clone(),
        per_second: PER_SECOND,
        lasting: arguments.phase / 2,
        first: 0,
        departures: Departures::new(0),
    };
    load.run().await
}

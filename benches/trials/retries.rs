//! Parked retries of a service that is down.

use crate::{
    arguments::{self, Arguments},
    backlog::Stage,
    fill::Fill,
    report,
};

/// Long enough that none is due before it is made so.
const PARKED_FOR_MINUTES: i64 = 120;

pub(crate) async fn run(arguments: &Arguments) {
    let count = arguments.events;
    report::title(&format!(
        "retries: {count} parked retries, {}",
        arguments.engine_name()
    ));
    let mut stage = Stage::set(arguments).await;
    let normal = stage.normal_rate(arguments).await;
    report::line(report::HEAD);
    let empty = stage.empty_memory().await;
    stage.fill(count, Some(PARKED_FOR_MINUTES)).await;
    stage.start(empty).await;

    stage.app.stop().await;
    let fill = Fill::of(&stage.app).await;
    fill.make_due().await;
    fill.end().await;
    stage.start(empty).await;
    stage.drain(count, normal).await;
    arguments::end(stage.app).await;
}

//! Publishers of one workspace beside another that publishes as fast as it can.

use crate::{
    arguments::{self, Arguments},
    load::{Departures, Door, Flood, OpenLoop},
    report::{self, Sample},
};

const PER_SECOND: u32 = 100;
const FLOODING: usize = 64;
const ROUNDS: u64 = 3;

pub(crate) async fn run(arguments: &Arguments) {
    report::title(&format!(
        "flood: {FLOODING} connections of another workspace, {}",
        arguments.engine_name()
    ));
    let app = arguments.server(|settings| settings).await;
    let (acme, globex) = (app.workspace("acme").await, app.workspace("globex").await);
    let (flooding, quiet) = (Door::of(&app, &acme), Door::of(&app, &globex));
    let mut measured = [Sample::default(), Sample::default()];
    let (mut flooded, mut events) = (Sample::default(), 0);
    for round in 0..=ROUNDS {
        for with in [false, true] {
            let flood = with.then(|| Flood::start(vec![flooding.clone()], FLOODING));
            let load = OpenLoop {
                door: quiet.clone(),
                per_second: PER_SECOND,
                lasting: arguments.phase,
                first: 0,
                departures: Departures::new(0),
            };
            let published = load.run().await;
            if let Some(flood) = flood {
                let ended = flood.stop().await;
                events += ended.admitted.len();
                flooded.extend(ended.admitted);
            }
            // The first round warms up.
            if round > 0 {
                measured[usize::from(with)].extend(published);
            }
        }
    }
    let [without, with] = &measured;
    report::line(report::HEAD);
    report::row("publish: without", without);
    report::row("publish: with", with);
    report::ratio("publish", without, with);
    report::row("publish by those who flood", &flooded);
    let seconds = arguments.phase.as_secs() * (ROUNDS + 1);
    report::line(&format!(
        "the flood: {} events a second; server and publishers share the cores",
        u64::try_from(events).unwrap_or(u64::MAX) / seconds
    ));
    arguments::end(app).await;
}

//! A healthy installation beside installations that hang.

use serde_json::json;

use crate::{
    arguments::{self, Arguments},
    load::{Departures, Door, OpenLoop},
    report::{self, Sample},
    services::{Hanging, Watching},
};
use pointsman_test_kit::{Extension, Workspace};

const PER_SECOND: u32 = 250;
/// Of phases without and with those who hang, one after the other.
const ROUNDS: u64 = 3;

/// One of the two healthy installations, and all that was measured of it.
struct Side {
    name: &'static str,
    door: Door,
    service: Watching,
    departures: std::sync::Arc<Departures>,
    /// Without and with: publishes, deliveries.
    measured: [(Sample, Sample); 2],
    next: u64,
}

pub(crate) async fn run(arguments: &Arguments) {
    report::title(&format!(
        "neighbours: {} installations hang ({}), {}",
        arguments.hanging,
        if arguments.breaker {
            "breaker"
        } else {
            "no breaker"
        },
        arguments.engine_name()
    ));
    let app = arguments
        .server(|settings| {
            if arguments.breaker {
                settings
            } else {
                settings.set("delivery.breaker_failures", 1_000_000)
            }
        })
        .await;
    let (acme, globex) = (app.workspace("acme").await, app.workspace("globex").await);
    let hanging = Hanging::start().await;
    let mut those_who_hang = Vec::new();
    for number in 0..arguments.hanging {
        let installing = acme.install_at(&format!("hanging-{number}"), hanging.url.as_str());
        those_who_hang.push(installing.subscribed_to(&["crm.**"]).await);
    }
    let mut sides = [
        Side::start("same workspace", &app, &acme, arguments).await,
        Side::start("other workspace", &app, &globex, arguments).await,
    ];
    report::line(report::HEAD);
    for round in 0..=ROUNDS {
        for with in [false, true] {
            let before = hanging.connections();
            switch(&those_who_hang, &hanging, with).await;
            // The first round warms up.
            measure(&mut sides, arguments, with, round > 0).await;
            let made = hanging.connections() - before;
            if with && round > 0 {
                let memory = report::mebibytes(app.resident_bytes());
                report::line(&format!(
                    "round {round}: {made} attempts hung, the server has {memory}"
                ));
            }
        }
    }
    for side in &sides {
        side.report();
    }
    arguments::end(app).await;
}

async fn switch(those_who_hang: &[Extension], hanging: &Hanging, with: bool) {
    for extension in those_who_hang {
        extension.update(json!({"enabled": with})).await;
    }
    if !with {
        hanging.is_left_alone().await;
    }
}

async fn measure(sides: &mut [Side; 2], arguments: &Arguments, with: bool, counts: bool) {
    let loads = sides.each_mut().map(|side| side.load(arguments));
    let [near, far] = loads;
    let (near, far) = futures_util::future::join(near.run(), far.run()).await;
    for (side, published) in sides.iter_mut().zip([near, far]) {
        side.service.arrived(side.next).await;
        let delivered = side.service.take_latencies();
        if counts {
            let (all_published, all_delivered) = &mut side.measured[usize::from(with)];
            all_published.extend(published);
            all_delivered.extend(delivered);
        }
    }
}

impl Side {
    async fn start(
        name: &'static str,
        app: &pointsman_test_kit::TestApp,
        workspace: &Workspace,
        arguments: &Arguments,
    ) -> Self {
        let phases = 2 * (ROUNDS + 1);
        let most = u64::from(PER_SECOND) * arguments.phase.as_secs() * phases;
        let departures = Departures::new(usize::try_from(most).expect("a few thousand"));
        let service = Watching::start(departures.clone()).await;
        workspace
            .install_at("healthy", service.url())
            .subscribed_to(&["crm.**"])
            .await;
        Self {
            name,
            door: Door::of(app, workspace),
            service,
            departures,
            measured: Default::default(),
            next: 0,
        }
    }

    fn load(&mut self, arguments: &Arguments) -> OpenLoop {
        let load = OpenLoop {
            door: self.door.clone(),
            per_second: PER_SECOND,
            lasting: arguments.phase,
            first: self.next,
            departures: self.departures.clone(),
        };
        self.next += load.count();
        load
    }

    fn report(&self) {
        let [without, with] = &self.measured;
        for (what, without, with) in [
            ("publish", &without.0, &with.0),
            ("delivery", &without.1, &with.1),
        ] {
            let what = format!("{}, {what}", self.name);
            report::row(&format!("{what}: without"), without);
            report::row(&format!("{what}: with"), with);
            report::ratio(&what, without, with);
        }
    }
}

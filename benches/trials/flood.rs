//! Publishers of one workspace beside another that floods.

use crate::{
    arguments::{self, Arguments},
    load::{Departures, Door, Flood, OpenLoop},
    report::{self, Sample},
};

const PER_SECOND: u32 = 100;
/// Of a flood that leaves the machine some room.
const PACED_PER_SECOND: u32 = 2_500;
/// Of a flood that takes all there is.
const CONNECTIONS: usize = 64;
const ROUNDS: u64 = 3;

/// What goes on beside the measured publishers.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    /// One workspace, so many events a second, whatever becomes of them.
    Paced,
    /// One workspace, as fast as it is answered.
    OneWorkspace,
    /// The same from as many workspaces as there are connections: what the machine gives anybody under such
    /// a load, with nobody who takes more than others.
    ManyWorkspaces,
}

impl Beside {
    const ALL: [Self; 4] = [
        Self::Nothing,
        Self::Paced,
        Self::OneWorkspace,
        Self::ManyWorkspaces,
    ];

    fn name(self) -> String {
        match self {
            Self::Nothing => "alone".to_owned(),
            Self::Paced => format!("beside {PACED_PER_SECOND}/s of another"),
            Self::OneWorkspace => format!("beside {CONNECTIONS} connections of 1"),
            Self::ManyWorkspaces => format!("beside {CONNECTIONS} connections of {CONNECTIONS}"),
        }
    }
}

pub(crate) async fn run(arguments: &Arguments) {
    report::title(&format!("flood, {}", arguments.engine_name()));
    let app = arguments.server(|settings| settings).await;
    let quiet = Door::of(&app, &app.workspace("quiet").await);
    let mut doors = Vec::new();
    for number in 0..CONNECTIONS {
        doors.push(Door::of(&app, &app.workspace(&format!("loud {number}")).await));
    }
    let mut measured: [Sample; 4] = Default::default();
    let mut flooded: [usize; 4] = [0; 4];
    for round in 0..=ROUNDS {
        for (number, beside) in Beside::ALL.into_iter().enumerate() {
            let (published, events) = measure(beside, &quiet, &doors, arguments).await;
            // The first round warms up.
            if round > 0 {
                measured[number].extend(published);
                flooded[number] += events;
            }
        }
    }
    report::line(report::HEAD);
    for (number, beside) in Beside::ALL.into_iter().enumerate() {
        report::row(&beside.name(), &measured[number]);
        if number > 0 {
            report::ratio("  to alone", &measured[0], &measured[number]);
        }
    }
    report::ratio("one to many workspaces", &measured[3], &measured[2]);
    let seconds = arguments.phase.as_secs() * ROUNDS;
    let rates = flooded.map(|events| u64::try_from(events).unwrap_or(u64::MAX) / seconds);
    report::line(&format!(
        "events of the others a second: {rates:?}; server and publishers share the cores"
    ));
    arguments::end(app).await;
}

async fn measure(beside: Beside, quiet: &Door, doors: &[Door], arguments: &Arguments) -> (Sample, usize) {
    let load = |door: &Door, per_second| OpenLoop {
        door: door.clone(),
        per_second,
        lasting: arguments.phase,
        first: 0,
        departures: Departures::new(0),
    };
    let published = load(quiet, PER_SECOND);
    let doors = match beside {
        Beside::Nothing => return (published.run().await, 0),
        Beside::Paced => {
            let paced = load(&doors[0], PACED_PER_SECOND);
            let (published, paced) = futures_util::future::join(published.run(), paced.run()).await;
            return (published, paced.len());
        }
        Beside::OneWorkspace => &doors[..1],
        Beside::ManyWorkspaces => doors,
    };
    let flood = Flood::start(doors.to_vec(), CONNECTIONS);
    let published = published.run().await;
    (published, flood.stop().await.admitted.len())
}

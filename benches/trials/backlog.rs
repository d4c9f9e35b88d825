//! Undelivered events for a service that is down, and what they cost everybody else.

use std::{net::SocketAddr, time::Duration};

use pointsman_clock::Clock;

use crate::{
    arguments::{self, Arguments},
    fill::Fill,
    load::{Departures, Door, Flood, OpenLoop},
    report,
    services::{Rate, Watching},
};
use pointsman_test_kit::{DownService, Extension, TestApp, Workspace};

const PER_SECOND: u32 = 100;
/// How long a drain is watched at most.
const DRAIN: Duration = Duration::from_secs(40);

/// A server with one service that is down and one that is well.
pub(crate) struct Stage {
    pub(crate) app: TestApp,
    acme: Workspace,
    pub(crate) globex: Workspace,
    pub(crate) crm: Extension,
    pub(crate) down: DownService,
    healthy: Watching,
}

impl Stage {
    pub(crate) async fn set(arguments: &Arguments) -> Self {
        let app = arguments.server(|settings| settings).await;
        let (acme, globex) = (app.workspace("acme").await, app.workspace("globex").await);
        let down = DownService::reserve().expect("a free port");
        let healthy = Watching::start(Departures::new(0)).await;
        let crm = acme
            .install_at("crm", down.url())
            .subscribed_to(&["crm.**"])
            .await;
        globex
            .install_at("healthy", healthy.url())
            .subscribed_to(&["crm.**"])
            .await;
        Self {
            app,
            acme,
            globex,
            crm,
            down,
            healthy,
        }
    }

    /// Deliveries per second of events as they are published, as fast as that goes.
    pub(crate) async fn normal_rate(&self, arguments: &Arguments) -> Rate {
        let (start, before) = (Clock.instant(), self.healthy.count());
        let flood = Flood::start(vec![Door::of(&self.app, &self.globex)], 64);
        tokio::time::sleep(arguments.phase).await;
        let published = flood.stop().await.admitted.len();
        self.healthy.arrived(before + published as u64).await;
        Rate::since(start, self.healthy.count() - before)
    }

    /// The memory of a server that has just started and has nothing to do.
    pub(crate) async fn empty_memory(&mut self) -> u64 {
        self.app.restart().await;
        self.publishes("publish without", 5).await;
        self.app.resident_bytes()
    }

    pub(crate) async fn fill(&mut self, count: u64, parked_for_minutes: Option<i64>) {
        self.app.stop().await;
        let start = Clock.instant();
        let fill = Fill::of(&self.app).await;
        fill.events(&self.acme, count).await;
        if let Some(minutes) = parked_for_minutes {
            fill.park(&self.crm.id, minutes).await;
        }
        fill.end().await;
        report::line(&format!(
            "filled with {count} events in {:.1} s",
            Clock.elapsed(start).as_secs_f64()
        ));
    }

    /// Starts, and tells how long that takes and what it costs.
    pub(crate) async fn start(&mut self, empty: u64) {
        let start = Clock.instant();
        self.app.start_again().await;
        self.app.anonymous().get("/readyz").await.expect(200);
        let ready = Clock.elapsed(start);
        let at_once = self.app.resident_bytes();
        self.publishes("publish with", 10).await;
        let later = self.app.resident_bytes();
        report::line(&format!(
            "ready after {:.3} s; memory: empty {}, at the start {}, later {}: {} more",
            ready.as_secs_f64(),
            report::mebibytes(empty),
            report::mebibytes(at_once),
            report::mebibytes(later),
            report::mebibytes(later.max(at_once).saturating_sub(empty)),
        ));
    }

    /// Publishes of the workspace whose service is well.
    async fn publishes(&self, what: &str, seconds: u64) {
        let load = OpenLoop {
            door: Door::of(&self.app, &self.globex),
            per_second: PER_SECOND,
            lasting: Duration::from_secs(seconds),
            first: 0,
            departures: Departures::new(0),
        };
        report::row(what, &load.run().await);
    }

    /// The service comes up, and the lane need not wait for its next probe.
    pub(crate) async fn drain(&self, count: u64, normal: Rate) {
        let address: SocketAddr = self
            .down
            .url()
            .trim_start_matches("http://")
            .parse()
            .expect("it is an address");
        let service = Watching::start_at(address, Departures::new(0)).await;
        let reset = self.app.api("POST", &self.crm.path("/reset"), None).await;
        reset.expect(200);
        let rate = service.rate(count, DRAIN).await;
        let memory = self.app.resident_bytes();
        report::line(&format!(
            "drained {} of {count} in {:.1} s: {:.0} a second, {:.2} of the normal {:.0}; {} out of order; memory {}",
            rate.count,
            rate.time.as_secs_f64(),
            rate.per_second(),
            rate.per_second() / normal.per_second().max(1.0),
            normal.per_second(),
            service.out_of_order(),
            report::mebibytes(memory),
        ));
    }
}

pub(crate) async fn run(arguments: &Arguments) {
    let count = arguments.events;
    report::title(&format!(
        "backlog: {count} undelivered events, {}",
        arguments.engine_name()
    ));
    let mut stage = Stage::set(arguments).await;
    let normal = stage.normal_rate(arguments).await;
    report::line(report::HEAD);
    let empty = stage.empty_memory().await;
    stage.fill(count, None).await;
    stage.start(empty).await;
    stage.drain(count, normal).await;
    arguments::end(stage.app).await;
}

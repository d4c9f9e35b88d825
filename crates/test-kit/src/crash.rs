//! A campaign of crashes: publishers on many connections, several workspaces, receivers that are good, slow, failing or
//! hanging, and a server that is killed at random moments and started again. At the end the log, the dead letters and
//! what the receivers took are compared with what was acknowledged.
//!
//! The receivers and publishers live in this process and outlive the server. What is random follows from one
//! seed; the scheduling of two processes does not, so that a seed makes a failure likely, not certain.

mod audit;
mod backup;
mod campaign;
mod defects;
mod first_start;
mod migration;
mod old_log;
mod post;
mod publishers;
mod receivers;

use std::time::Duration;

use futures_util::future::join;
use pointsman_clock::Clock;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::timeout;

pub use self::campaign::{Campaign, Ending, Tally, WINDOW};
use self::{
    campaign::WORKSPACES,
    defects::defects,
    old_log::OldLog,
    publishers::Publishers,
    receivers::{ReceiverKind, Receivers},
};
use super::{
    app::{TestApp, show},
    eventually::PATIENCE,
    workspace::Workspace,
};

/// Long enough for a receiver on a busy machine, so that only the hanging one runs into it.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(3);
/// Each start deletes what was published before the start before it.
const EVENTS_KEPT: &str = "500ms";
/// What an ordered stop may take: an attempt that hangs ends before.
const GRACE: Duration = Duration::from_secs(10);

/// A random seed, or `POINTSMAN_TEST_SEED` where that is set.
pub fn seed() -> u64 {
    match std::env::var("POINTSMAN_TEST_SEED") {
        Ok(seed) => seed.parse().expect("POINTSMAN_TEST_SEED is a whole number"),
        Err(_) => Clock.wall().millis().unsigned_abs(),
    }
}

/// Runs the campaign. Violations are in the tally; it panics where it cannot go on.
pub async fn run(campaign: Campaign) -> Tally {
    show(&format!(
        "{campaign:?}; again with POINTSMAN_TEST_SEED={}",
        campaign.seed
    ));
    match campaign.ending {
        Ending::KillAtFirstStart => return first_start::run(campaign).await,
        Ending::KillWhileMigrating => return migration::run(campaign).await,
        Ending::KillOfBackup => return backup::run(campaign).await,
        Ending::Kill | Ending::Terminate | Ending::KillWhilePruning => {}
    }
    let mut running = RunningCampaign::set_up(campaign).await;
    for round in 1..=campaign.rounds {
        running.round(round).await;
    }
    running.receivers.recover();
    running.app.settled().await;
    let mut tally = running.audit().await;
    if let Some(old) = &running.old {
        old.is_being_deleted(&running.app).await;
    }
    tally.violations.extend(defects(&running.app).await);
    running.app.finish().await;
    tally
}

struct RunningCampaign {
    campaign: Campaign,
    random: StdRng,
    app: TestApp,
    workspaces: Vec<Workspace>,
    publishers: Publishers,
    receivers: Receivers,
    /// Events that are deleted while the server is killed.
    old: Option<OldLog>,
    kills: u64,
}

impl RunningCampaign {
    async fn set_up(campaign: Campaign) -> Self {
        let is_pruning = campaign.ending == Ending::KillWhilePruning;
        let mut app = TestApp::with(campaign.engine, |settings| {
            let settings = match is_pruning {
                // The history stays: it tells for which repeats no crash is to blame.
                true => settings.set("retention.events", EVENTS_KEPT),
                false => settings,
            };
            settings
                .set("delivery.window", WINDOW)
                .set("delivery.concurrency", WINDOW / 2)
                .set("delivery.timeout", format!("{}s", DELIVERY_TIMEOUT.as_secs()))
                .set("delivery.breaker_failures", 1_000_000)
                .set("server.shutdown_grace", format!("{}s", GRACE.as_secs()))
                .set("router.threads", 2)
                .retrying_after(&["50ms", "200ms"])
        })
        .await;
        let receivers = Receivers::start(WORKSPACES);
        let mut workspaces = Vec::new();
        for number in 0..WORKSPACES {
            let workspace = app.workspace(&format!("workspace {number}")).await;
            for kind in ReceiverKind::ALL {
                workspace
                    .install_at(kind.name(), receivers.url(number, kind))
                    .subscribed_to(&[kind.pattern()])
                    .await;
            }
            workspaces.push(workspace);
        }
        let mut old = None;
        if is_pruning {
            // What is not delivered would keep everything after it.
            receivers.recover();
            old = Some(OldLog::fill(&mut app, campaign.rounds).await);
        }
        Self {
            campaign,
            random: StdRng::seed_from_u64(campaign.seed),
            app,
            publishers: Publishers::new(&workspaces),
            workspaces,
            receivers,
            old,
            kills: 0,
        }
    }

    /// Publishes until the server has ended, and starts it again.
    async fn round(&mut self, round: u32) {
        // Early in half of the rounds, when the backlog of the round before is still being delivered.
        let most = if self.random.random() { 40 } else { 400 };
        let moment = self.random.random_range(1..=most);
        let by_deliveries = self.random.random();
        let Self {
            campaign,
            app,
            publishers,
            receivers,
            ..
        } = self;
        let ended = async {
            let come = async {
                if by_deliveries {
                    receivers.took_more(moment).await;
                } else {
                    publishers.acknowledged_more(moment).await;
                }
            };
            let come = timeout(PATIENCE, come).await;
            assert!(
                come.is_ok(),
                "round {round}: not {moment} more within {PATIENCE:?}"
            );
            end(app, campaign.ending).await;
        };
        join(publishers.publish_until_refused(), ended).await;
        self.ended().await;
        if self.campaign.ending.is_kill() && self.random.random_ratio(1, 4) {
            let after = Duration::from_millis(self.random.random_range(1..300));
            self.app.start_and_die(after).await;
            self.ended().await;
        }
        self.app.start_again().await;
    }

    async fn ended(&mut self) {
        self.kills += 1;
        self.receivers.server_ended().await;
    }

    async fn audit(&self) -> Tally {
        let database = self.app.database().await;
        let record = audit::Record::read(&database, &self.workspaces).await;
        database.close().await.expect("a connection can be closed");
        audit::audit(
            &record,
            &self.publishers.outcomes(),
            &self.receivers,
            self.campaign.ending,
            self.kills,
        )
    }
}

async fn end(app: &mut TestApp, ending: Ending) {
    match ending {
        ending if ending.is_kill() => app.kill(),
        _ => {
            let asked = Clock.instant();
            let status = app.stop().await;
            assert!(status.success(), "an ordered stop ends with {status}");
            let took = Clock.elapsed(asked);
            assert!(took <= GRACE, "the stop took {took:?} of {GRACE:?}");
        }
    }
}

//! Kills while a server makes its database: the files, the schema, the first admin, the demo workspace.

use std::time::Duration;

use pointsman_clock::Clock;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use super::{
    super::{app::TestApp, service::Service, workspace::Workspace},
    campaign::{Campaign, Tally},
};

/// Each round begins without a database: the server is killed at one or more moments of its first start, and then has
/// to come up, let the admin in, take an event and deliver it. A server that does not come up ends the campaign.
pub(crate) async fn run(campaign: Campaign) -> Tally {
    let mut random = StdRng::seed_from_u64(campaign.seed);
    let whole_start = time_of_a_start(campaign).await;
    let mut tally = Tally::default();
    for round in 1..=campaign.rounds {
        // Half of them once; the others again, on what the kill before has left.
        let mut kills = Vec::new();
        while kills.is_empty() || random.random() {
            kills.push(random.random_range(Duration::ZERO..whole_start));
        }
        let app = TestApp::killed_while_starting(campaign.engine, &kills).await;
        tally.kills += kills.len() as u64;
        serves(&app, round, &mut tally).await;
        app.finish().await;
    }
    tally
}

/// How long a start takes on this machine, so that the kills are spread over all of it.
async fn time_of_a_start(campaign: Campaign) -> Duration {
    let began = Clock.instant();
    let app = TestApp::start(campaign.engine).await;
    let took = Clock.elapsed(began);
    app.finish().await;
    took
}

/// Whether the server has what an empty database gets, and works.
async fn serves(app: &TestApp, round: u32, tally: &mut Tally) {
    let demo = Workspace::demo(&app.admin).await;
    let service = Service::start().await;
    demo.install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    let event = demo.publish("crm.deal.closed", json!({"round": round})).await;
    tally.acknowledged += 1;
    if service.event_ids(1).await == [event] {
        tally.delivered += 1;
    } else {
        tally.lost += 1;
        tally
            .violations
            .push(format!("round {round}: another event arrived"));
    }
    let extensions = demo.get("/extensions").await.expect(200).rows();
    let chats = extensions
        .iter()
        .filter(|extension| extension["key"] == "chat")
        .count();
    if chats != 1 {
        tally
            .violations
            .push(format!("round {round}: the demo has the chat {chats} times"));
    }
}

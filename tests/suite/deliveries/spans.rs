//! Subscriptions and extensions that change while deliveries wait: what was due stays due, and nothing else becomes
//! due.

use pointsman_receive::Behavior;
use serde_json::json;

use pointsman_test_kit::{Engine, Extension, Service, Settings, TestApp, Workspace, on_both_engines};

on_both_engines! {
    a_subscription_takes_effect_for_the_next_publish,
    what_was_due_stays_due_after_unsubscribing,
    a_disabled_extension_waits_and_misses_what_comes_meanwhile,
    a_paused_extension_misses_nothing,
    an_uninstalled_extension_leaves_dead_letters,
    a_new_installation_knows_nothing_of_the_former,
    a_subscription_made_while_disabled_begins_with_enabling,
    an_unsubscription_while_disabled_outlives_enabling,
}

/// Where the deliveries of a scene are when the change comes.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// One in flight to a service that hangs, and two queued behind it.
    InFlight,
    /// Each has failed once and is to be tried again.
    Parked,
}

/// An extension to which three events are due, none of them delivered.
struct Scene {
    workspace: Workspace,
    service: Service,
    crm: Extension,
    subscription: String,
    due: Vec<String>,
}

const ALL: [(Waiting, bool); 4] = [
    (Waiting::InFlight, false),
    (Waiting::InFlight, true),
    (Waiting::Parked, false),
    (Waiting::Parked, true),
];

fn patient(settings: Settings) -> Settings {
    settings
        .retrying_after(&["100ms"; 100])
        .set("delivery.timeout", "2s")
        .set("delivery.concurrency", 1)
}

impl Scene {
    async fn set(app: &TestApp, waiting: Waiting) -> Self {
        let workspace = app.workspace("acme").await;
        let service = Service::behaving(match waiting {
            Waiting::InFlight => Behavior::hang(),
            Waiting::Parked => Behavior::status(500),
        })
        .await;
        let crm = workspace
            .install_external("crm", &service)
            .subscribed_to(&[])
            .await;
        let subscription = crm.subscribe("crm.**").await;
        let mut due = Vec::new();
        for number in 1..=3 {
            due.push(
                workspace
                    .publish("crm.deal.closed", json!({"number": number}))
                    .await,
            );
        }
        service.received(1).await;
        if matches!(waiting, Waiting::Parked) {
            for event in &due {
                workspace.becomes(event, &crm, "RETRYING").await;
            }
        }
        Self {
            workspace,
            service,
            crm,
            subscription,
            due,
        }
    }

    async fn publish(&self) -> String {
        self.workspace.publish("crm.deal.closed", json!({})).await
    }

    async fn all_become(&self, events: &[String], status: &str) {
        for event in events {
            self.workspace.becomes(event, &self.crm, status).await;
        }
    }

    /// The events that have arrived, each once.
    async fn arrived(&self) -> Vec<String> {
        let mut ids = self.service.sorted_event_ids(0).await;
        ids.dedup();
        ids
    }
}

async fn kill_if(killed: bool, app: &mut TestApp) {
    if killed {
        app.kill();
        app.start_again().await;
    }
}

async fn a_subscription_takes_effect_for_the_next_publish(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&[])
        .await;
    let (mut due, mut not_due) = (
        Vec::new(),
        vec![workspace.publish("crm.deal.closed", json!({})).await],
    );
    for _ in 0..10 {
        let subscription = crm.subscribe("crm.*.closed").await;
        due.push(workspace.publish("crm.deal.closed", json!({})).await);
        crm.unsubscribe(&subscription).await;
        not_due.push(workspace.publish("crm.deal.closed", json!({})).await);
    }
    assert_eq!(service.sorted_event_ids(10).await, due);
    for event in &due {
        workspace.becomes(event, &crm, "DELIVERED").await;
    }
    for event in &not_due {
        assert_eq!(workspace.delivery_status(event, &crm).await, "NOT_SUBSCRIBED");
    }
    app.finish().await;
    assert_eq!(service.count(), 10);
}

async fn what_was_due_stays_due_after_unsubscribing(engine: Engine) {
    let mut app = TestApp::with(engine, patient).await;
    let mut scenes = Vec::new();
    for (waiting, killed) in ALL {
        let scene = Scene::set(&app, waiting).await;
        scene.crm.unsubscribe(&scene.subscription).await;
        let later = scene.publish().await;
        kill_if(killed, &mut app).await;
        scene.service.behave(Behavior::default());

        scene.all_become(&scene.due, "DELIVERED").await;
        assert_eq!(
            scene.workspace.delivery_status(&later, &scene.crm).await,
            "NOT_SUBSCRIBED",
            "{waiting:?} {killed}"
        );
        scenes.push(scene);
    }
    app.finish().await;
    for scene in scenes {
        assert_eq!(scene.arrived().await, scene.due);
    }
}

async fn a_disabled_extension_waits_and_misses_what_comes_meanwhile(engine: Engine) {
    let mut app = TestApp::with(engine, patient).await;
    let mut scenes = Vec::new();
    for (waiting, killed) in ALL {
        let scene = Scene::set(&app, waiting).await;
        let probe = Service::start().await;
        scene
            .workspace
            .install_external("probe", &probe)
            .subscribed_to(&["**"])
            .await;
        scene.crm.disable().await;
        let missed = scene.publish().await;
        kill_if(killed, &mut app).await;
        scene.service.behave(Behavior::default());
        probe.received(1).await;
        assert_eq!(
            scene.workspace.delivery_status(&missed, &scene.crm).await,
            "DISABLED"
        );
        if matches!(waiting, Waiting::InFlight) {
            assert_eq!(
                scene.workspace.delivery_status(&scene.due[2], &scene.crm).await,
                "PENDING"
            );
        }

        scene.crm.enable().await;
        let after = scene.publish().await;
        let expected = [scene.due.clone(), vec![after]].concat();
        scene.all_become(&expected, "DELIVERED").await;
        assert_eq!(
            scene.workspace.delivery_status(&missed, &scene.crm).await,
            "DISABLED",
            "{waiting:?} {killed}"
        );
        scenes.push((scene, probe, expected));
    }
    app.finish().await;
    for (scene, _, expected) in scenes {
        assert_eq!(scene.arrived().await, expected);
    }
}

async fn a_paused_extension_misses_nothing(engine: Engine) {
    let mut app = TestApp::with(engine, patient).await;
    let mut scenes = Vec::new();
    for (waiting, killed) in ALL {
        let scene = Scene::set(&app, waiting).await;
        scene.crm.pause().await;
        let meanwhile = scene.publish().await;
        kill_if(killed, &mut app).await;
        scene.service.behave(Behavior::default());
        assert_eq!(
            scene.workspace.delivery_status(&meanwhile, &scene.crm).await,
            "PENDING"
        );

        scene.crm.resume().await;
        let after = scene.publish().await;
        let expected = [scene.due.clone(), vec![meanwhile, after]].concat();
        scene.all_become(&expected, "DELIVERED").await;
        scenes.push((scene, expected));
    }
    app.finish().await;
    for (scene, expected) in scenes {
        assert_eq!(scene.arrived().await, expected);
    }
}

async fn an_uninstalled_extension_leaves_dead_letters(engine: Engine) {
    let mut app = TestApp::with(engine, patient).await;
    let mut scenes = Vec::new();
    for (waiting, killed) in ALL {
        let scene = Scene::set(&app, waiting).await;
        scene.crm.uninstall().await;
        let later = scene.publish().await;
        kill_if(killed, &mut app).await;

        let letters = scene.workspace.dead_letters_become(3, "reason=UNINSTALLED").await;
        let mut events: Vec<&str> = letters
            .iter()
            .filter_map(|letter| letter["eventId"].as_str())
            .collect();
        events.sort_unstable();
        assert_eq!(events, scene.due);
        scene.all_become(&scene.due, "DEAD").await;
        assert_eq!(scene.workspace.delivery_status(&later, &scene.crm).await, "none");
        app.admin
            .get(&scene.crm.path(""))
            .await
            .expect_problem(404, "NOT_FOUND");
        scenes.push((scene, later));
    }
    app.finish().await;
    for (scene, later) in scenes {
        assert!(!scene.arrived().await.contains(&later));
    }
}

async fn a_new_installation_knows_nothing_of_the_former(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let (former, service) = (Service::start().await, Service::start().await);
    let crm = workspace
        .install_external("crm", &former)
        .subscribed_to(&["crm.**"])
        .await;
    let first = workspace.publish("crm.deal.closed", json!({})).await;
    workspace.becomes(&first, &crm, "DELIVERED").await;
    let body = json!({
        "key": "crm", "name": "CRM", "deliveryType": "EXTERNAL_SERVICE", "serviceBaseUrl": service.url(),
    });
    workspace
        .post("/extensions", &body)
        .await
        .expect_problem(409, "CONFLICT");
    crm.uninstall().await;
    let between = workspace.publish("crm.deal.closed", json!({})).await;

    let next = workspace
        .install_external("crm", &service)
        .subscribed_to(&["crm.**"])
        .await;
    assert_ne!(next.id, crm.id);
    let last = workspace.publish("crm.deal.closed", json!({})).await;
    assert_eq!(service.event_ids(1).await, [last]);
    assert_eq!(workspace.delivery_status(&first, &crm).await, "DELIVERED");
    for event in [&first, &between] {
        assert_eq!(workspace.delivery_status(event, &next).await, "NOT_INSTALLED");
    }
    app.finish().await;
    assert_eq!((former.count(), service.count()), (1, 1));
}

async fn a_subscription_made_while_disabled_begins_with_enabling(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&[])
        .await;
    crm.disable().await;
    crm.subscribe("crm.**").await;
    let missed = workspace.publish("crm.deal.closed", json!({})).await;
    crm.enable().await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    assert_eq!(service.event_ids(1).await, [event]);
    assert_eq!(workspace.delivery_status(&missed, &crm).await, "DISABLED");
    app.finish().await;
    assert_eq!(service.count(), 1);
}

async fn an_unsubscription_while_disabled_outlives_enabling(engine: Engine) {
    let app = TestApp::start(engine).await;
    let workspace = app.workspace("acme").await;
    let service = Service::start().await;
    let crm = workspace
        .install_external("crm", &service)
        .subscribed_to(&["chat.**"])
        .await;
    let subscription = crm.subscribe("crm.**").await;
    crm.disable().await;
    crm.unsubscribe(&subscription).await;
    crm.enable().await;
    let event = workspace.publish("crm.deal.closed", json!({})).await;
    let wanted = workspace.publish("chat.message.received", json!({})).await;
    assert_eq!(service.event_ids(1).await, [wanted]);
    assert_eq!(workspace.delivery_status(&event, &crm).await, "NOT_SUBSCRIBED");
    app.finish().await;
    assert_eq!(service.count(), 1);
}

//! What happens in a simulated world: publishes, changes by admins, and faults.

mod draw;
mod trouble;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    seeded_rng::SeededRng,
    service::base_url,
    service_mode::ServiceMode,
    tables::{LetterStatus, effects::UNSTORABLE},
    witness::LaneBounds,
    world::{State, World},
};
use pointsman_domain::{
    event::NewEvent,
    event_key::EventKey,
    id::{DeadLetterId, EventId, InstallationId, SubscriptionId, WorkspaceId},
    installation::{DeliveryType, InstallationChange, NewInstallation},
    signing::SigningSecret,
};
use pointsman_router::EventRouter;
use pointsman_simulated_clock::Clock;

const KEYS: [&str; 4] = [
    "crm.deal.closed",
    "crm.deal.opened",
    "shop.order.paid",
    "shop.cart",
];
/// The keys of extensions; few, so that some are installed again.
const EXTENSIONS: [&str; 4] = ["crm", "shop", "billing", "search"];

/// One process of the world, as those outside see it.
pub(super) struct Scene {
    world: Arc<World>,
    router: EventRouter,
    workspaces: Vec<WorkspaceId>,
    /// Installations that an admin is changing: one change at a time.
    busy: Arc<std::sync::Mutex<BTreeSet<InstallationId>>>,
}

/// The kinds of steps, and how often each is taken.
const STEPS: [(Step, u32); 17] = [
    (Step::Publish, 30),
    (Step::PublishMany, 6),
    (Step::HangUp, 2),
    (Step::Install, 4),
    (Step::Subscribe, 5),
    (Step::Unsubscribe, 2),
    (Step::Hold, 3),
    (Step::Release, 4),
    (Step::Limit, 2),
    (Step::Uninstall, 1),
    (Step::Replay, 4),
    (Step::Discard, 1),
    (Step::Reset, 1),
    (Step::ServiceMode, 5),
    (Step::Outage, 1),
    (Step::Jump, 1),
    (Step::Panic, 2),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Publish,
    PublishMany,
    HangUp,
    Install,
    Subscribe,
    Unsubscribe,
    Hold,
    Release,
    Limit,
    Uninstall,
    Replay,
    Discard,
    Reset,
    ServiceMode,
    Outage,
    Jump,
    Panic,
}

impl Scene {
    pub(super) fn new(world: &Arc<World>, router: EventRouter, workspaces: &[WorkspaceId]) -> Self {
        Self {
            world: Arc::clone(world),
            router,
            workspaces: workspaces.to_vec(),
            busy: Arc::default(),
        }
    }

    /// Installs the first extensions.
    pub(super) fn set_up(&self) {
        for workspace in &self.workspaces {
            let extensions = self.world.with(|state| state.rng.number(1..4));
            for _ in 0..extensions {
                self.install(*workspace);
            }
        }
    }

    /// Takes one step, drawn at random.
    pub(super) fn step(&self) {
        let (step, workspace) = self.world.with(|state| {
            let unrest = state.settings.unrest;
            let weights = STEPS.map(|(step, weight)| match step {
                Step::Outage | Step::Panic | Step::Jump => weight * unrest,
                _ => weight,
            });
            let step = STEPS[state.rng.weighted(&weights)].0;
            state.trace.record(format_args!("step: {step:?}"));
            (step, state.rng.pick(&self.workspaces))
        });
        let Some(workspace) = workspace else { return };
        match step {
            Step::Publish => self.publish(workspace, None),
            Step::PublishMany => {
                for _ in 0..self.world.with(|state| state.rng.number(2..30)) {
                    self.publish(workspace, None);
                }
            }
            Step::HangUp => {
                let patience = self.world.with(|state| state.rng.millis(0..50));
                self.publish(workspace, Some(patience));
            }
            Step::Install => self.install(workspace),
            Step::Subscribe => self.change(workspace, |_, rng| draw::subscribe(rng)),
            Step::Unsubscribe => self.unsubscribe(workspace),
            Step::Hold => self.change(workspace, |_, rng| Some(draw::hold(rng))),
            Step::Release => self.change(workspace, |_, _| Some(draw::release())),
            Step::Limit => self.change(workspace, |_, rng| Some(draw::limit(rng))),
            Step::Uninstall => self.change(workspace, |_, _| Some(InstallationChange::Uninstall)),
            Step::Replay => self.replay(workspace),
            Step::Discard => self.discard(workspace),
            Step::Reset => self.reset(workspace),
            Step::ServiceMode => self.change_mode(),
            Step::Outage => self.lose_the_database(),
            Step::Jump => self.jump(),
            Step::Panic => self.panic(workspace),
        }
    }

    fn publish(&self, workspace: WorkspaceId, patience: Option<Duration>) {
        let (world, router) = (Arc::clone(&self.world), self.router.clone());
        let id = EventId::new(Clock.new_uuid());
        let (event, idempotency) = world.with(|state| {
            let what = if state.rng.chance(10) { UNSTORABLE } else { "fine" };
            let payload = format!("{{\"of\": \"{id}\", \"is\": \"{what}\"}}");
            let idempotency = draw::key(&mut state.rng);
            state
                .witness
                .publishes(workspace, id, &payload, idempotency.as_ref());
            let key = state.rng.pick(&KEYS).unwrap_or(KEYS[0]);
            let event = NewEvent {
                id,
                event_key: EventKey::parse(key).expect("it is an event key"),
                schema_version: None,
                actor: None,
                payload: payload.into(),
                occurred_at: Clock.wall(),
                traceparent: None,
                cause: None,
            };
            (event, idempotency)
        });
        actix::spawn(async move {
            let start = Clock.instant();
            let answer = router.publish(workspace, event, idempotency);
            let answer = match patience {
                None => answer.await,
                Some(patience) => match tokio::time::timeout(patience, answer).await {
                    Ok(answer) => answer,
                    Err(_) => return,
                },
            };
            world.with(|state| {
                state
                    .trace
                    .record(format_args!("the publisher of {id} reads {answer:?}"));
                let took = Clock.elapsed(start);
                state.witness.answered(id, &answer, took, &state.tables);
            });
        });
    }

    fn install(&self, workspace: WorkspaceId) {
        let (world, router) = (Arc::clone(&self.world), self.router.clone());
        let id = InstallationId::new(Clock.new_uuid());
        let (key, count, subscription) = world.with(|state| {
            let mode = ServiceMode::draw(&mut state.rng);
            state.modes.insert(id, mode);
            let key = state.rng.pick(&EXTENSIONS).unwrap_or("crm");
            (
                key,
                state.tables.installations.len(),
                draw::subscribe(&mut state.rng),
            )
        });
        if count >= 8 {
            return;
        }
        let new = NewInstallation {
            id,
            key: key.to_owned(),
            name: key.to_owned(),
            delivery_type: DeliveryType::ExternalService,
            service_base_url: Some(base_url(id)),
            signing_secret: SigningSecret::from_random([7; 32]).reveal(),
            headers: String::new(),
            enabled: true,
            subscriptions: Vec::new(),
        };
        actix::spawn(async move {
            if router.install(workspace, new).await.is_ok()
                && let Some(subscription) = subscription
            {
                let answer = router.change_installation(workspace, id, subscription).await;
                let done = answer.is_ok();
                world.note(format_args!("{id} is installed and subscribed: {done}"));
            }
        });
    }

    /// An admin changes an installation of the workspace, where there is one that is not being changed.
    fn change(
        &self,
        workspace: WorkspaceId,
        draw: impl FnOnce(InstallationId, &mut SeededRng) -> Option<InstallationChange>,
    ) {
        let Some(id) = self.any_installation(workspace) else {
            return;
        };
        let Some(change) = self.world.with(|state| draw(id, &mut state.rng)) else {
            return;
        };
        if !self.busy().insert(id) {
            return;
        }
        let held = match &change {
            InstallationChange::Update(update) if update.paused == Some(true) => Some(true),
            InstallationChange::Update(update) if update.enabled == Some(false) => Some(true),
            InstallationChange::Update(update) if update.paused.or(update.enabled).is_some() => Some(false),
            InstallationChange::Uninstall => Some(true),
            _ => None,
        };
        let (world, router, busy) = (
            Arc::clone(&self.world),
            self.router.clone(),
            Arc::clone(&self.busy),
        );
        world.with(|state| {
            state.witness.limits_told(id, None);
            if held == Some(false) {
                state.witness.held(id, false);
            }
        });
        actix::spawn(async move {
            let answer = router.change_installation(workspace, id, change).await;
            let done = answer.is_ok();
            world.with(|state| {
                state
                    .trace
                    .record(format_args!("the admin of {id} is told: {done}"));
                if done {
                    state.tell_limits(id);
                }
                if done && held == Some(true) {
                    state.witness.held(id, true);
                }
            });
            busy.lock().expect("nothing panics under it").remove(&id);
        });
    }

    fn busy(&self) -> std::sync::MutexGuard<'_, BTreeSet<InstallationId>> {
        self.busy.lock().expect("nothing panics under it")
    }

    fn any_installation(&self, workspace: WorkspaceId) -> Option<InstallationId> {
        self.world.with(|state| {
            let all: Vec<InstallationId> = state
                .tables
                .installations
                .values()
                .filter(|installed| installed.workspace() == workspace)
                .map(|installed| installed.id())
                .collect();
            state.rng.pick(&all)
        })
    }

    fn unsubscribe(&self, workspace: WorkspaceId) {
        let world = Arc::clone(&self.world);
        let all: Vec<(InstallationId, SubscriptionId)> = world.with(|state| {
            let of_workspace = state
                .tables
                .installations
                .values()
                .filter(|installed| installed.workspace() == workspace);
            of_workspace
                .flat_map(|installed| {
                    let spans = installed.all_spans();
                    spans
                        .into_iter()
                        .map(|span| (installed.id(), span.subscription_id))
                })
                .collect()
        });
        let Some((id, subscription_id)) = world.with(|state| state.rng.pick(&all)) else {
            return;
        };
        let router = self.router.clone();
        actix::spawn(async move {
            let change = InstallationChange::Unsubscribe { subscription_id };
            let done = router.change_installation(workspace, id, change).await.is_ok();
            world.note(format_args!("the admin of {id} is told: {done}"));
        });
    }

    fn any_letter(&self, workspace: WorkspaceId) -> Option<DeadLetterId> {
        self.world.with(|state| {
            let all: Vec<DeadLetterId> = state
                .tables
                .letters
                .values()
                .filter(|letter| letter.workspace == workspace)
                .filter(|letter| letter.status == LetterStatus::Dead)
                .map(|letter| letter.id)
                .collect();
            state.rng.pick(&all)
        })
    }

    fn replay(&self, workspace: WorkspaceId) {
        let Some(letter) = self.any_letter(workspace) else {
            return;
        };
        let elsewhere = self.world.with(|state| state.rng.chance(300));
        let to = elsewhere.then(|| self.any_installation(workspace)).flatten();
        let (world, router) = (Arc::clone(&self.world), self.router.clone());
        actix::spawn(async move {
            let answer = router.replay(workspace, letter, to).await;
            world.note(format_args!("the replay of {letter}: {answer:?}"));
        });
    }

    fn discard(&self, workspace: WorkspaceId) {
        let Some(letter) = self.any_letter(workspace) else {
            return;
        };
        let (world, router) = (Arc::clone(&self.world), self.router.clone());
        actix::spawn(async move {
            let answer = router.discard(workspace, letter).await;
            world.note(format_args!("the discarding of {letter}: {answer:?}"));
        });
    }

    fn reset(&self, workspace: WorkspaceId) {
        let Some(id) = self.any_installation(workspace) else {
            return;
        };
        let (world, router) = (Arc::clone(&self.world), self.router.clone());
        actix::spawn(async move {
            let answer = router.reset(workspace, id).await;
            world.note(format_args!("the reset of {id}: {answer:?}"));
        });
    }
}

impl State {
    /// The admin has been told the present settings of this installation.
    fn tell_limits(&mut self, id: InstallationId) {
        let Some(installed) = self.tables.installations.get(&id) else {
            return;
        };
        let ordered = installed.row.ordered;
        let own = installed.row.concurrency.map(|own| own as usize);
        let at_most = if ordered {
            1
        } else {
            own.unwrap_or(self.settings.concurrency)
        };
        let ordered_after = ordered.then(|| self.tables.head(installed.workspace()));
        self.witness.limits_told(
            id,
            Some(LaneBounds {
                at_most,
                ordered_after,
            }),
        );
    }
}

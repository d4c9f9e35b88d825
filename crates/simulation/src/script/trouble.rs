//! The faults of a simulated world, and their end.

use std::time::Duration;

use super::{Scene, draw};
use crate::{
    panics::{panic_of_dead_letters, panic_of_delivery, panic_of_supervisor, panic_of_workspace},
    service_mode::ServiceMode,
    world::State,
    world_settings::Faults,
};
use pointsman_domain::id::{InstallationId, WorkspaceId};
use pointsman_simulated_clock::{self as simulated, Clock};

impl Scene {
    pub(super) fn change_mode(&self) {
        self.world.with(|state| {
            let all: Vec<InstallationId> = state.modes.keys().copied().collect();
            if let Some(id) = state.rng.pick(&all) {
                let mode = ServiceMode::draw(&mut state.rng);
                state.trace.record(format_args!("{id} is {mode:?}"));
                state.modes.insert(id, mode);
            }
        });
    }

    pub(super) fn lose_the_database(&self) {
        self.world.with(|state| {
            let lasts = state.rng.millis(100..20_000);
            state.outage_until = Clock.now() + lasts;
            state.fault(format_args!("no database for {lasts:?}"));
        });
    }

    pub(super) fn jump(&self) {
        self.world.with(|state| {
            let millis = state
                .rng
                .pick(&[-3_600_000, 3_600_000, -1_000, 60_000])
                .unwrap_or(0);
            state
                .trace
                .record(format_args!("the wall clock jumps by {millis} ms"));
            simulated::jump(millis);
        });
    }

    pub(super) fn panic(&self, workspace: WorkspaceId) {
        let which = self.world.with(|state| {
            let which = state.rng.weighted(&[4, 6, 2, 1]);
            state.fault(format_args!("an actor panics: {which}"));
            which
        });
        match which {
            0 => {
                self.world.with(|state| {
                    for installed in state.tables.installations.values() {
                        if installed.workspace() == workspace {
                            state.witness.panics(installed.id());
                        }
                    }
                });
                panic_of_workspace(&self.router, workspace);
            }
            1 => {
                let router = self.router.clone();
                if let Some(id) = self.any_installation(workspace) {
                    self.world.with(|state| state.witness.panics(id));
                    actix::spawn(async move { panic_of_delivery(&router, workspace, id).await });
                }
            }
            2 => panic_of_dead_letters(&self.router),
            _ => panic_of_supervisor(&self.router),
        }
    }

    /// Ends all faults, and releases most of what was held.
    pub(crate) async fn make_peace(&self) {
        self.world.with(State::be_well);
        // Changes under way finish meanwhile.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let all: Vec<(WorkspaceId, InstallationId, bool)> = self.world.with(|state| {
            state
                .tables
                .installations
                .values()
                .map(|installed| (installed.workspace(), installed.id(), installed.is_held()))
                .collect()
        });
        for (workspace, id, is_held) in all {
            if is_held && self.world.with(|state| state.rng.chance(700)) {
                self.world.with(|state| state.witness.held(id, false));
                // Where it was uninstalled meanwhile there is nothing to release.
                let _ = self
                    .router
                    .change_installation(workspace, id, draw::release())
                    .await;
            }
            let answer = self.router.reset(workspace, id).await;
            self.world.note(format_args!("the reset of {id}: {answer:?}"));
        }
    }
}

impl State {
    fn be_well(&mut self) {
        self.faults = Faults::NONE;
        self.outage_until = Clock.now();
        let ids: Vec<InstallationId> = self.modes.keys().copied().collect();
        for id in ids {
            let mode = match self.rng.weighted(&[8, 1, 1]) {
                0 => ServiceMode::Well,
                1 => ServiceMode::Failing,
                _ => ServiceMode::Choosy,
            };
            self.modes.insert(id, mode);
        }
    }
}

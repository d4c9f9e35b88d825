//! From a seed to a report: processes that crash or stop, one after the other, and a last one without faults.

use std::{sync::Arc, time::Duration};

use actix::System;
use tokio::time::sleep;

use super::{script::Scene, service::Services, storage, witness::Totals, world::World};
use pointsman_domain::{id::WorkspaceId, timestamp::Timestamp};
use pointsman_journal::Journal;
use pointsman_router::{EventRouter, Notices};
use pointsman_simulated_clock::{self as simulated, Clock};

/// When the first process of every world starts.
const BEGINNING: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// How long all work may take to finish once there are no more faults.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);
/// What a process that is told to stop may take.
const GRACE: Duration = Duration::from_secs(30);

/// The result of a world.
#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    /// Promises that were broken; the first is the one to look at.
    pub violations: Vec<String>,
    pub totals: Totals,
    /// Equal for equal histories.
    pub hash: u64,
    pub lines: Vec<String>,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Crash,
    Stop,
    /// It is the last one: there are no more faults, and all work finishes.
    Peace,
}

/// Runs the world of the seed. With `readable` the report has the whole history.
pub fn simulate(seed: u64, readable: bool) -> Report {
    let world = Arc::new(World::new(seed, readable));
    let (lives, count) = world.with(|state| (state.settings.lives, state.settings.workspaces));
    let workspaces: Vec<WorkspaceId> = (0..count)
        .map(|index| WorkspaceId::new(uuid::Uuid::from_u128(index as u128 + 1)))
        .collect();
    let mut wall = BEGINNING;
    for life in 0..=lives {
        let ending = world.with(|state| match life == lives {
            true => Ending::Peace,
            false if state.rng.chance(700) => Ending::Crash,
            false => Ending::Stop,
        });
        wall = live(&world, (seed, life), wall, &workspaces, ending);
        if world.with(|state| !state.witness.violations.is_empty()) {
            break;
        }
    }
    world.with(|state| Report {
        seed,
        violations: std::mem::take(&mut state.witness.violations),
        totals: state.witness.totals,
        hash: state.trace.hash(),
        lines: state.trace.lines().to_vec(),
    })
}

/// One process, from its start to its end; returns what the wall clock shows when the next one starts.
fn live(
    world: &Arc<World>,
    (seed, life): (u64, u64),
    wall: Timestamp,
    workspaces: &[WorkspaceId],
    ending: Ending,
) -> Timestamp {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map(Arc::new)
        .expect("a runtime without I/O needs nothing of the machine");
    let shared = Arc::clone(&runtime);
    let system = System::with_tokio_rt(move || shared);
    let wall = system.block_on(async {
        simulated::start_process(seed ^ life << 56, wall);
        let in_order = act(world, life, workspaces, ending).await;
        world.with(|state| {
            // From now on nothing that the process still does counts.
            state.life += 1;
            state.connection += 1;
            state
                .trace
                .record(format_args!("the process has ended, in order: {in_order}"));
            state.witness.process_ended(in_order);
        });
        Clock.wall()
    });
    // What is dropped may read the clock once more.
    let entered = runtime.enter();
    drop(system);
    drop(entered);
    simulated::end();
    wall + world.with(|state| state.rng.millis(0..120_000))
}

/// Whether the process ended in order, with everything settled that it had begun.
async fn act(world: &Arc<World>, life: u64, workspaces: &[WorkspaceId], ending: Ending) -> bool {
    let services = Arc::new(Services::new(world));
    let settings = world.with(|state| state.settings.router_settings(services));
    let notices = Notices::default();
    let (journal, writer) = Journal::over(storage::open(world, notices.sink()));
    actix::spawn(writer.run());
    let router = EventRouter::start(settings, journal, notices, Clock);
    let scene = Scene::new(world, router.clone(), workspaces);
    if life == 0 {
        scene.set_up();
        sleep(Duration::from_millis(500)).await;
    }
    let steps = world.with(|state| state.rng.number(1..state.settings.steps));
    for _ in 0..steps {
        scene.step();
        let pause = world.with(|state| match state.rng.weighted(&[40, 40, 15, 3]) {
            0 => state.rng.millis(0..20),
            1 => state.rng.millis(20..500),
            2 => state.rng.millis(500..5_000),
            _ => state.rng.millis(5_000..60_000),
        });
        sleep(pause).await;
        if world.with(|state| !state.witness.violations.is_empty()) {
            return false;
        }
    }
    match ending {
        Ending::Crash => false,
        Ending::Stop => stop(world, &router).await,
        Ending::Peace => {
            scene.make_peace().await;
            come_to_an_end(world).await;
            stop(world, &router).await;
            check_end(world);
            true
        }
    }
}

/// Whether it was an ordered stop without trouble.
async fn stop(world: &World, router: &EventRouter) -> bool {
    let faults = world.with(|state| state.faults_seen);
    let start = Clock.instant();
    router.stop(GRACE).await;
    let took = Clock.elapsed(start);
    if took > GRACE {
        world.with(|state| {
            state
                .witness
                .violated(format!("the stop took {took:?} of {GRACE:?}"));
        });
    }
    world.with(|state| state.faults_seen == faults)
}

async fn come_to_an_end(world: &World) {
    let start = Clock.now();
    loop {
        let unfinished = world.with(|state| state.witness.unfinished(&state.tables));
        let Some(unfinished) = unfinished else { return };
        if Clock.now().since(start) > PATIENCE {
            world.with(|state| {
                state
                    .witness
                    .violated(format!("after {PATIENCE:?} of peace {unfinished}"));
            });
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn check_end(world: &World) {
    world.with(|state| {
        let window = state.settings.window;
        state.witness.check_end(&state.tables, window);
    });
}

//! A simulated world: the tables, the services and the witness.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use super::{
    seeded_rng::SeededRng,
    service_mode::ServiceMode,
    tables::Tables,
    trace::Trace,
    witness::Witness,
    world_settings::{Faults, WorldSettings},
};
use pointsman_domain::{id::InstallationId, timestamp::Timestamp};
use pointsman_simulated_clock::Clock;

/// Shared by all parts of a simulation. All of it runs on one thread, so that the lock is never waited for.
pub(super) struct World(Mutex<State>);

/// A transaction that hangs: it is committed, or not, before the next connection is made.
pub(super) type InDoubt = Box<dyn FnOnce(&mut State) + Send>;

pub(super) struct State {
    pub(super) rng: SeededRng,
    pub(super) trace: Trace,
    pub(super) settings: WorldSettings,
    /// The present rates of faults.
    pub(super) faults: Faults,
    /// There is no database until then, in the engine's time.
    pub(super) outage_until: Timestamp,
    /// Faults so far.
    pub(super) faults_seen: u64,
    pub(super) tables: Tables,
    pub(super) in_doubt: Vec<InDoubt>,
    pub(super) modes: BTreeMap<InstallationId, ServiceMode>,
    pub(super) witness: Witness,
    /// The number of the present process; what belongs to an earlier one is ignored.
    pub(super) life: u64,
    /// The number of the present connection.
    pub(super) connection: u64,
}

impl World {
    pub(super) fn new(seed: u64, readable: bool) -> Self {
        let mut rng = SeededRng::new(seed);
        let settings = WorldSettings::draw(&mut rng);
        Self(Mutex::new(State {
            rng,
            trace: Trace::new(readable),
            faults: settings.faults,
            witness: Witness::new(settings.breaker_failures),
            settings,
            outage_until: Timestamp::default(),
            faults_seen: 0,
            tables: Tables::default(),
            in_doubt: Vec::new(),
            modes: BTreeMap::new(),
            life: 0,
            connection: 0,
        }))
    }

    /// Looks at the world, or changes it. Do not nest these.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what happened.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        self.with(|state| state.trace.record(what));
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl State {
    /// Records a fault that was injected.
    pub(super) fn fault(&mut self, what: fmt::Arguments<'_>) {
        self.faults_seen += 1;
        self.trace.record(format_args!("fault: {what}"));
    }

    /// Checks everything that holds between two transactions.
    pub(super) fn check_tables(&mut self) {
        self.witness.check_letters(&self.tables);
        let missed = self.tables.missed(Clock.now(), self.settings.max_hold);
        if let Some(workspace) = missed {
            self.witness
                .violated(format!("nobody will look at {workspace} in time"));
        }
    }
}

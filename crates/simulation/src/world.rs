//! A simulated world: the machine with its tables, the services outside, and who watches them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use super::{
    dice::Dice,
    shape::{Faults, Shape},
    tables::Tables,
    temper::Temper,
    trace::Trace,
    witness::Witness,
};
use pointsman_domain::{id::InstallationId, timestamp::Timestamp};

/// Shared by everything that plays a part. All of it runs on one thread, so that the lock is never waited for.
pub(super) struct World(Mutex<State>);

/// A transaction that hangs: it is committed, or not, before the next connection is made.
pub(super) type InDoubt = Box<dyn FnOnce(&mut State) + Send>;

pub(super) struct State {
    pub(super) dice: Dice,
    pub(super) trace: Trace,
    pub(super) shape: Shape,
    /// As they are at present.
    pub(super) faults: Faults,
    /// There is no database until then, in the engine's time.
    pub(super) outage_until: Timestamp,
    /// The number of faults that there were.
    pub(super) faults_seen: u64,
    pub(super) tables: Tables,
    pub(super) in_doubt: Vec<InDoubt>,
    pub(super) tempers: BTreeMap<InstallationId, Temper>,
    pub(super) witness: Witness,
    /// The process that lives; what belongs to an earlier one does nothing any more.
    pub(super) life: u64,
    /// The connection that works.
    pub(super) connection: u64,
}

impl World {
    pub(super) fn new(seed: u64, readable: bool) -> Self {
        let mut dice = Dice::new(seed);
        let shape = Shape::draw(&mut dice);
        Self(Mutex::new(State {
            dice,
            trace: Trace::new(readable),
            faults: shape.faults,
            witness: Witness::new(shape.breaker_failures),
            shape,
            outage_until: Timestamp::default(),
            faults_seen: 0,
            tables: Tables::default(),
            in_doubt: Vec::new(),
            tempers: BTreeMap::new(),
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
    /// Notes that something went wrong that the engine has to live with.
    pub(super) fn fault(&mut self, what: fmt::Arguments<'_>) {
        self.faults_seen += 1;
        self.trace.record(format_args!("fault: {what}"));
    }

    /// Checks everything that holds between two transactions.
    pub(super) fn check_tables(&mut self) {
        self.witness.check_letters(&self.tables);
    }
}

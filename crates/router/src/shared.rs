//! What all actors of a router share.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::prelude::*;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    dead_letters::DeadLetterParts,
    directory::{Directory, Entry},
    erased::ErasedEvents,
    failed::FailedInstallations,
    in_process::EventExecutor,
    lines::Lines,
    lock::locked,
    looks::Looks,
    mail::{
        dead_letters::DeadLetterAddress,
        delivery::DeliveryAddress,
        origin::Origin,
        supervisor::{LookBy, SupervisorAddress, WorkspaceLeft, WorkspaceStopped},
        workspace::{EndDeliveries, Erase, WorkspaceAddress},
    },
    restarts::{Deaths, Fault, SINGLE_ACTOR},
    settings::RouterSettings,
};
use pointsman_clock::Clock;
use pointsman_domain::{
    event::PlatformEvent,
    id::{InstallationId, WorkspaceId},
    installation::InstallationView,
    timestamp::Timestamp,
};
use pointsman_journal::{Admission, Journal, Notice};

/// Workspaces that read their installations at the same time at most, for instance after an outage.
const LOADS_AT_ONCE: usize = 32;

/// How actors are started. Their starters know the addresses and the messages, not the types of the actors.
#[derive(Clone, Copy)]
pub(crate) struct Starters {
    pub(crate) workspace: fn(WorkspaceId, Arc<Shared>, Arc<Entry>) -> WorkspaceAddress,
    pub(crate) delivery: fn(Arc<Shared>, Arc<InstallationView>, Origin) -> DeliveryAddress,
    pub(crate) dead_letters: fn(&ArbiterHandle, DeadLetterParts) -> DeadLetterAddress,
    pub(crate) supervisor: fn(Arc<Shared>, Duration) -> SupervisorAddress,
}

pub struct Shared {
    pub(super) settings: RouterSettings,
    pub(super) journal: Journal,
    pub(super) directory: Arc<Directory>,
    pub(super) admission: Admission,
    pub(super) failed: FailedInstallations,
    pub(super) erased: ErasedEvents,
    /// The rate limit of lines of the log.
    pub(super) lines: Arc<Lines>,
    pub(super) clock: Clock,
    /// Permits to read a workspace's installations.
    pub(super) loads: Semaphore,
    pub(super) executor: EventExecutor,
    /// The threads of workspaces, of the supervisor and of the dead letter actor.
    arbiters: Vec<Arbiter>,
    /// The threads of lanes and their attempts, apart from workspaces so that no publish waits behind an attempt.
    delivery_arbiters: Vec<Arbiter>,
    starters: Starters,
    dead_letters: Mutex<Option<DeadLetterAddress>>,
    dead_letter_deaths: Arc<Mutex<Deaths>>,
    supervisor: Mutex<Option<SupervisorAddress>>,
    supervisor_deaths: Mutex<Deaths>,
    pub(super) looks: Looks,
    stopping: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(
        settings: RouterSettings,
        journal: Journal,
        directory: Arc<Directory>,
        clock: Clock,
        starters: Starters,
    ) -> Self {
        Self {
            admission: Admission::new(settings.max_in_flight),
            looks: Looks::new(settings.waker_patience),
            arbiters: arbiters(settings.threads),
            delivery_arbiters: arbiters(settings.threads),
            executor: EventExecutor::new(
                settings.in_process.executor_threads,
                settings.in_process.concurrency,
            ),
            settings,
            journal,
            directory,
            failed: FailedInstallations::default(),
            erased: ErasedEvents::default(),
            lines: Arc::new(Lines::new(clock)),
            clock,
            loads: Semaphore::new(LOADS_AT_ONCE),
            starters,
            dead_letters: Mutex::default(),
            dead_letter_deaths: Arc::default(),
            supervisor: Mutex::default(),
            supervisor_deaths: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Starts the RouterSupervisor, and a new one when the last has died. Must not panic.
    pub(super) fn start_supervisor(self: &Arc<Self>) {
        if self.is_stopping() {
            return;
        }
        let (shared, now) = (Arc::clone(self), self.clock.now());
        let mut deaths = locked(&self.supervisor_deaths);
        if std::thread::panicking() {
            deaths.died(Fault::Own, &SINGLE_ACTOR, now);
        }
        let pause = deaths.pause(now);
        let started = (self.starters.supervisor)(shared, pause);
        *locked(&self.supervisor) = Some(started);
    }

    /// The supervisor, where it lives.
    pub(super) fn supervisor(&self) -> Option<SupervisorAddress> {
        locked(&self.supervisor).clone()
    }

    /// One of the threads of workspaces; the current one where the router has none of its own.
    pub(super) fn arbiter(&self, index: usize) -> ArbiterHandle {
        one_of(&self.arbiters, index)
    }

    /// The thread of the installation's lane.
    pub(super) fn delivery_arbiter(&self, id: InstallationId) -> ArbiterHandle {
        one_of(&self.delivery_arbiters, spread(id.uuid()))
    }

    /// The actor of the workspace, started where there is none.
    pub(super) fn workspace(self: &Arc<Self>, id: WorkspaceId) -> WorkspaceAddress {
        loop {
            // None where the directory has let go of the entry meanwhile: the next look finds another one.
            if let Some(address) = self.workspace_of(id, &self.directory.entry(id)) {
                return address;
            }
        }
    }

    /// The actor of the workspace, started where there is none; nothing where the directory has let go of
    /// `entry` meanwhile.
    pub(super) fn workspace_of(
        self: &Arc<Self>,
        id: WorkspaceId,
        entry: &Arc<Entry>,
    ) -> Option<WorkspaceAddress> {
        entry.address_or(|| self.start_workspace(id, entry)).ok()
    }

    fn start_workspace(self: &Arc<Self>, id: WorkspaceId, entry: &Arc<Entry>) -> WorkspaceAddress {
        (self.starters.workspace)(id, Arc::clone(self), Arc::clone(entry))
    }

    /// Starts the actor of an installation.
    pub(super) fn start_delivery(
        self: &Arc<Self>,
        view: Arc<InstallationView>,
        origin: Origin,
    ) -> DeliveryAddress {
        (self.starters.delivery)(Arc::clone(self), view, origin)
    }

    /// The thread of the workspace.
    pub(super) fn workspace_arbiter(&self, id: WorkspaceId) -> ArbiterHandle {
        self.arbiter(spread(id.uuid()))
    }

    /// Makes sure that the workspace has an actor. Returns its address where it had to be started.
    pub(super) fn activate(self: &Arc<Self>, id: WorkspaceId) -> Option<WorkspaceAddress> {
        (!self.is_active(id) && !self.is_stopping()).then(|| self.workspace(id))
    }

    /// Whether the workspace has an actor.
    pub(super) fn is_active(&self, id: WorkspaceId) -> bool {
        let entry = self.directory.existing(id);
        entry.is_some_and(|entry| entry.active().is_some())
    }

    /// Leaves the notice for the actor of its workspace. Notices are kept in the order of the calls.
    pub(super) fn notify(self: &Arc<Self>, mut notice: Notice) {
        let workspace = match &notice {
            Notice::Committed { workspace_id, .. } | Notice::RetriesAdded { workspace_id, .. } => {
                *workspace_id
            }
            Notice::InstallationChanged(view) => view.workspace_id(),
            Notice::DueBy(at) => return self.look_by(*at),
            Notice::EventErased(left) => return self.event_erased(left),
            Notice::WorkspaceDeleted(workspace) => return self.workspace_deleted(*workspace),
            Notice::Reconnected => {
                return self
                    .directory
                    .all()
                    .iter()
                    .for_each(|entry| entry.notify_reload());
            }
        };
        loop {
            let entry = self.directory.entry(workspace);
            let start = || (!self.is_stopping()).then(|| self.start_workspace(workspace, &entry));
            match entry.notify(notice, start) {
                Ok(()) => return,
                Err(again) => notice = again,
            }
        }
    }

    /// Has everybody who holds the event hold what is left of it instead.
    fn event_erased(&self, left: &Arc<PlatformEvent>) {
        self.erased.add(Arc::clone(left), self.clock.instant());
        let entry = self.directory.existing(left.workspace_id);
        if let Some(actor) = entry.and_then(|entry| entry.erase(left)) {
            actor.tell(Erase(Arc::clone(left)));
        }
    }

    /// Has the actor of the workspace, where there is one, stop its deliveries. One that starts later finds nothing to
    /// deliver.
    fn workspace_deleted(&self, workspace: WorkspaceId) {
        let entry = self.directory.existing(workspace);
        if let Some(actor) = entry.and_then(|entry| entry.active()) {
            actor.tell(EndDeliveries);
        }
    }

    /// The DeadLetterActor, a new one where the last has died: it holds nothing that is not durable.
    pub(super) fn dead_letters(&self) -> DeadLetterAddress {
        let mut address = locked(&self.dead_letters);
        if let Some(address) = address.as_ref().filter(|address| address.connected()) {
            return address.clone();
        }
        let parts = DeadLetterParts {
            journal: self.journal.clone(),
            clock: self.clock,
            deaths: Arc::clone(&self.dead_letter_deaths),
            lines: Arc::clone(&self.lines),
        };
        let started = (self.starters.dead_letters)(&self.arbiter(0), parts);
        *address = Some(started.clone());
        started
    }

    /// Called by a WorkspaceActor that has ended; must not panic.
    pub(super) fn workspace_stopped(&self, id: WorkspaceId) {
        let supervisor = locked(&self.supervisor).clone();
        if let (false, Some(supervisor)) = (self.is_stopping(), supervisor) {
            supervisor.tell(WorkspaceStopped(id));
        }
    }

    /// Called by a WorkspaceActor that stops because it has nothing to do.
    pub(super) fn workspace_left(&self, id: WorkspaceId) {
        if let Some(supervisor) = &*locked(&self.supervisor) {
            supervisor.tell(WorkspaceLeft(id));
        }
    }

    /// Has the supervisor look by that time for workspaces that are due.
    pub(super) fn look_by(&self, at: Timestamp) {
        if let Some(supervisor) = &*locked(&self.supervisor) {
            supervisor.tell(LookBy(at));
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(super) fn stop_accepting(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(super) fn stop_arbiters(&self) {
        self.executor.stop();
        for arbiter in self.arbiters.iter().chain(&self.delivery_arbiters) {
            arbiter.stop();
        }
    }
}

fn arbiters(count: usize) -> Vec<Arbiter> {
    (0..count).map(|_| Arbiter::new()).collect()
}

fn one_of(arbiters: &[Arbiter], index: usize) -> ArbiterHandle {
    match index.checked_rem(arbiters.len()) {
        Some(index) => arbiters[index].handle(),
        None => Arbiter::current(),
    }
}

/// The low bits of a UUID are random in every version.
fn spread(id: Uuid) -> usize {
    usize::from(id.as_bytes()[15])
}

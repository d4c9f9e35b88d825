//! What all actors of a router share.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use actix::prelude::*;

use super::{
    dead_letters::DeadLetterActor,
    directory::{Directory, Entry},
    settings::RouterSettings,
    supervisor::{RouterSupervisor, WorkspaceStopped},
    workspace::WorkspaceActor,
};
use crate::{
    clock::Clock,
    domain::id::WorkspaceId,
    journal::{Admission, Journal},
};

pub(super) struct Shared {
    pub(super) settings: RouterSettings,
    pub(super) journal: Journal,
    pub(super) directory: Arc<Directory>,
    pub(super) admission: Admission,
    pub(super) clock: Clock,
    arbiters: Vec<Arbiter>,
    dead_letters: Mutex<Option<Addr<DeadLetterActor>>>,
    supervisor: Mutex<Option<Addr<RouterSupervisor>>>,
    stopping: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        settings: RouterSettings,
        journal: Journal,
        directory: Arc<Directory>,
        clock: Clock,
    ) -> Self {
        Self {
            admission: Admission::new(settings.max_in_flight),
            arbiters: (0..settings.threads).map(|_| Arbiter::new()).collect(),
            settings,
            journal,
            directory,
            clock,
            dead_letters: Mutex::default(),
            supervisor: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Starts the RouterSupervisor, and a new one when the last has died. Must not panic.
    pub(super) fn start_supervisor(self: &Arc<Self>) {
        if self.is_stopping() {
            return;
        }
        let shared = Arc::clone(self);
        let started =
            RouterSupervisor::start_in_arbiter(&self.arbiter(0), move |_| RouterSupervisor { shared });
        *self.supervisor.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
    }

    #[cfg(test)]
    pub(super) fn supervisor(&self) -> Option<Addr<RouterSupervisor>> {
        self.supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// One of the router's threads; the current one where it has none of its own.
    pub(super) fn arbiter(&self, index: usize) -> ArbiterHandle {
        match index.checked_rem(self.arbiters.len()) {
            Some(index) => self.arbiters[index].handle(),
            None => Arbiter::current(),
        }
    }

    /// The actor of the workspace, started where there is none.
    pub(super) fn workspace(self: &Arc<Self>, id: WorkspaceId) -> Addr<WorkspaceActor> {
        self.workspace_of(id, &self.directory.entry(id))
    }

    pub(super) fn workspace_of(self: &Arc<Self>, id: WorkspaceId, entry: &Entry) -> Addr<WorkspaceActor> {
        let mut address = entry.address();
        if let Some(address) = address.as_ref().filter(|address| address.connected()) {
            return address.clone();
        }
        let shared = Arc::clone(self);
        // The low bits of a UUID are random in every version.
        let arbiter = self.arbiter(usize::from(id.uuid().as_bytes()[15]));
        let started = WorkspaceActor::start_in_arbiter(&arbiter, move |_| WorkspaceActor::new(id, shared));
        *address = Some(started.clone());
        started
    }

    /// Makes sure that the workspace has an actor.
    pub(super) fn activate(self: &Arc<Self>, id: WorkspaceId) {
        if !self.is_stopping() {
            drop(self.workspace(id));
        }
    }

    /// The DeadLetterActor, a new one where the last has died: it holds nothing that is not durable.
    pub(super) fn dead_letters(&self) -> Addr<DeadLetterActor> {
        let mut address = self.dead_letters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = address.as_ref().filter(|address| address.connected()) {
            return address.clone();
        }
        let (journal, clock) = (self.journal.clone(), self.clock);
        let started =
            DeadLetterActor::start_in_arbiter(&self.arbiter(0), move |_| DeadLetterActor { journal, clock });
        *address = Some(started.clone());
        started
    }

    /// Called by a WorkspaceActor that has ended; must not panic.
    pub(super) fn workspace_stopped(&self, id: WorkspaceId) {
        let supervisor = self
            .supervisor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let (false, Some(supervisor)) = (self.is_stopping(), supervisor) {
            supervisor.do_send(WorkspaceStopped(id));
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(super) fn stop_accepting(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(super) fn stop_arbiters(&self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

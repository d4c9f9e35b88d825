//! Where to find the actor of a workspace.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix::Addr;
use dashmap::DashMap;

use super::workspace::{Committed, InstallationChanged, Reload, RetriesAdded, WorkspaceActor};
use crate::{
    domain::id::WorkspaceId,
    journal::{Notice, WorkspaceAdmission},
};

/// A workspace: the current address of its actor, and its part of the admission. Notices go through here,
/// never to an address captured earlier.
#[derive(Debug, Default)]
pub(super) struct Entry {
    address: Mutex<Option<Addr<WorkspaceActor>>>,
    pub(super) admission: WorkspaceAdmission,
}

impl Entry {
    /// The address, for reading and for putting a new one in its place.
    pub(super) fn address(&self) -> MutexGuard<'_, Option<Addr<WorkspaceActor>>> {
        // Nothing that can panic runs under this lock but the start of an actor, which leaves it as it was.
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) -> Option<Addr<WorkspaceActor>> {
        self.address()
            .as_ref()
            .filter(|address| address.connected())
            .cloned()
    }
}

/// All workspaces that were active since the start.
#[derive(Debug, Default)]
pub(super) struct Directory {
    entries: DashMap<WorkspaceId, Arc<Entry>>,
}

impl Directory {
    pub(super) fn entry(&self, workspace: WorkspaceId) -> Arc<Entry> {
        if let Some(entry) = self.entries.get(&workspace) {
            return Arc::clone(&entry);
        }
        Arc::clone(&self.entries.entry(workspace).or_default())
    }

    /// The actors of all workspaces, in the order of the workspaces' ids.
    pub(super) fn active(&self) -> Vec<Addr<WorkspaceActor>> {
        let active: BTreeMap<WorkspaceId, Addr<WorkspaceActor>> = self
            .entries
            .iter()
            .filter_map(|entry| Some((*entry.key(), entry.active()?)))
            .collect();
        active.into_values().collect()
    }

    /// Passes the notice on to the workspace that it concerns. Where that has no actor nothing is lost:
    /// a new one registers here first and then reads what is durable.
    pub(super) fn notify(&self, notice: Notice) {
        match notice {
            Notice::Committed {
                workspace_id,
                head,
                events,
            } => {
                if let Some(address) = self.entry(workspace_id).active() {
                    address.do_send(Committed { head, events });
                }
            }
            Notice::InstallationChanged(view) => {
                if let Some(address) = self.entry(view.workspace_id()).active() {
                    address.do_send(InstallationChanged { view });
                }
            }
            Notice::RetriesAdded {
                workspace_id,
                installation_id,
                at,
            } => {
                if let Some(address) = self.entry(workspace_id).active() {
                    address.do_send(RetriesAdded { installation_id, at });
                }
            }
            Notice::Reconnected => {
                for address in self.active() {
                    address.do_send(Reload);
                }
            }
        }
    }
}

//! Installations whose actor died too often and is not started again.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use pointsman_domain::id::InstallationId;

/// The marks outlive the actors of their workspaces, and end with the process: a restart tries again.
#[derive(Debug, Default)]
pub(super) struct FailedInstallations {
    /// With the revision of the installation that failed.
    marks: Mutex<BTreeMap<InstallationId, i64>>,
}

impl FailedInstallations {
    pub(super) fn mark(&self, installation: InstallationId, revision: i64) {
        self.marks().insert(installation, revision);
    }

    /// Whether the installation at this revision is marked. A later revision, which is a change by an admin, takes the
    /// mark away.
    pub(super) fn holds(&self, installation: InstallationId, revision: i64) -> bool {
        let mut marks = self.marks();
        match marks.get(&installation) {
            Some(failed) if *failed >= revision => true,
            Some(_) => {
                marks.remove(&installation);
                false
            }
            None => false,
        }
    }

    pub(super) fn contains(&self, installation: InstallationId) -> bool {
        self.marks().contains_key(&installation)
    }

    pub(super) fn forget(&self, installation: InstallationId) {
        self.marks().remove(&installation);
    }

    fn marks(&self) -> MutexGuard<'_, BTreeMap<InstallationId, i64>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_until_it_is_forgotten_or_the_installation_is_changed() {
        let (failed, id) = (
            FailedInstallations::default(),
            InstallationId::new(uuid::Uuid::nil()),
        );
        assert!(!failed.holds(id, 3));
        failed.mark(id, 3);
        assert!(failed.holds(id, 3));
        assert!(failed.holds(id, 2), "an older view changes nothing");
        assert!(!failed.holds(id, 4));
        assert!(!failed.contains(id));
        failed.mark(id, 4);
        failed.forget(id);
        assert!(!failed.contains(id));
    }
}

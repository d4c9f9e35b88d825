//! A service may ask to be disabled.

use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    installation::{InstallationChange, InstallationUpdate},
};
use pointsman_journal::Journal;

/// The service asked for it; the change comes back as a notice like any admin's. A task of its own, which
/// does not end with the attempt.
pub(super) fn disable(journal: Journal, workspace: WorkspaceId, id: InstallationId) {
    actix::spawn(async move {
        let update = InstallationUpdate {
            enabled: Some(false),
            ..InstallationUpdate::default()
        };
        let change = InstallationChange::Update(update);
        match journal.change_installation(workspace, id, change).await {
            Ok(_) => {
                log::warn!(workspace:%, installation:% = id; "disabled at the request of the service")
            }
            Err(error) => {
                log::error!(workspace:%, installation:% = id, error:%; "the service asked to be disabled, which failed");
            }
        }
    });
}

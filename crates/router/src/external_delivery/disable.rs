//! Disabling an installation at the request of its service.

use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    installation::{InstallationChange, InstallationUpdate},
};
use pointsman_journal::Journal;

/// Disables the installation. The change comes back as a notice, as a change by an admin does. It is made by a task of
/// its own, which does not end with the attempt.
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
                log::error!(
                    workspace:%, installation:% = id, error:%;
                    "the service asked to be disabled, which failed"
                );
            }
        }
    });
}

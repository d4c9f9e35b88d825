//! A workspace, as the API shows it.

use pointsman_domain::{id::WorkspaceId, timestamp::Timestamp};
use pointsman_store as store;
use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkspaceDto {
    pub(super) id: WorkspaceId,
    pub(super) name: String,
    pub(super) created_at: Timestamp,
}

impl From<store::workspaces::Model> for WorkspaceDto {
    fn from(workspace: store::workspaces::Model) -> Self {
        Self {
            id: WorkspaceId::new(workspace.id),
            name: workspace.name,
            created_at: Timestamp::from_millis(workspace.created_at),
        }
    }
}

//! Workspaces: global admins make them and see all, members see theirs.

mod create;
mod get;
mod list;

use actix_web::web;
use serde::Serialize;

use pointsman_domain::{id::WorkspaceId, timestamp::Timestamp};
use pointsman_store as store;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/api/workspaces")
                .route(web::post().to(create::create))
                .route(web::get().to(list::list)),
        )
        .service(web::resource("/api/workspaces/{workspaceId}").route(web::get().to(get::get)));
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkspaceDto {
    id: WorkspaceId,
    name: String,
    created_at: Timestamp,
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

//! Extensions of a workspace, for its admins.

pub(super) mod attempt;
mod available;
mod checks;
mod dto;
mod get;
mod install;
mod list;
mod reset;
mod rotate_secret;
mod send_test;
mod uninstall;
mod update;

use actix_web::web;

use super::{path, problem::Problem, state::AppState};
use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    installation::Installation,
};
use pointsman_store::{self as store};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/api/extensions/available").route(web::get().to(available::available)))
        .service(
            web::resource("/api/workspaces/{workspaceId}/extensions")
                .route(web::post().to(install::install))
                .route(web::get().to(list::list)),
        )
        .service(
            web::resource("/api/workspaces/{workspaceId}/extensions/{extensionId}")
                .route(web::get().to(get::get))
                .route(web::patch().to(update::update))
                .route(web::delete().to(uninstall::uninstall)),
        )
        .service(
            web::resource("/api/workspaces/{workspaceId}/extensions/{extensionId}/rotate-secret")
                .route(web::post().to(rotate_secret::rotate_secret)),
        )
        .service(
            web::resource("/api/workspaces/{workspaceId}/extensions/{extensionId}/test")
                .route(web::post().to(send_test::send_test)),
        )
        .service(
            web::resource("/api/workspaces/{workspaceId}/extensions/{extensionId}/reset")
                .route(web::post().to(reset::reset)),
        );
}

impl AppState {
    /// The installed extension that a path names.
    ///
    /// # Errors
    /// `NOT_FOUND` when it is no id, unknown, uninstalled or of another workspace.
    pub(super) async fn extension(
        &self,
        workspace: WorkspaceId,
        raw_id: &str,
    ) -> Result<Installation, Problem> {
        let id: InstallationId = path::id(raw_id, "extension")?;
        store::installations::find(&self.router.reader_of(workspace), workspace, id)
            .await?
            .ok_or_else(|| Problem::not_found("extension"))
    }
}

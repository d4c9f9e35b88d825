//! Dead letters: deliveries that were given up, for the admins of their workspace.

mod across;
mod discard;
mod dto;
mod filter;
mod get;
mod list;
mod replay;

use actix_web::web;

use super::{path, problem::Problem, state::AppState};
use pointsman_domain::id::{DeadLetterId, WorkspaceId};
use pointsman_store::{self as store, dead_letters::DeadLetter};

/// Must be configured before [`super::events::routes`], which takes what follows `/events/` for an id.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/api/dead-letters").route(web::get().to(across::list)))
        .service(
            web::resource("/api/workspaces/{workspaceId}/events/dead-letters")
                .route(web::get().to(list::list)),
        )
        .service(
            web::resource("/api/workspaces/{workspaceId}/events/dead-letters/{deadLetterId}")
                .route(web::get().to(get::get)),
        )
        .service(
            web::resource("/api/workspaces/{workspaceId}/events/dead-letters/{deadLetterId}/replay")
                .route(web::post().to(replay::replay)),
        )
        .service(
            web::resource("/api/workspaces/{workspaceId}/events/dead-letters/{deadLetterId}/discard")
                .route(web::post().to(discard::discard)),
        );
}

impl AppState {
    /// The dead letter that a path names.
    ///
    /// # Errors
    /// `NOT_FOUND` when it is no id, unknown or of another workspace.
    async fn dead_letter(&self, workspace: WorkspaceId, raw_id: &str) -> Result<DeadLetter, Problem> {
        let id: DeadLetterId = path::id(raw_id, "dead letter")?;
        store::dead_letters::find(&self.router.reader_of(workspace), workspace, id)
            .await?
            .ok_or_else(|| Problem::not_found("dead letter"))
    }
}

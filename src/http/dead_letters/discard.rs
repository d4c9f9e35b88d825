//! `POST /api/workspaces/{workspaceId}/events/dead-letters/{deadLetterId}/discard`

use actix_web::{HttpResponse, web};

use crate::http::{access::Caller, json, problem::Problem, state::AppState};

/// Marks a dead letter `DISCARDED`: it is not delivered. It stays readable.
pub(super) async fn discard(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (workspace, letter) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let letter = state.dead_letter(workspace, &letter).await?;
    state.router.discard(workspace, letter.id).await?;
    Ok(json::success())
}

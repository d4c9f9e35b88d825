//! `POST /api/workspaces/{workspaceId}/extensions/{extensionId}/reset`

use actix_web::{HttpResponse, web};

use crate::http::{access::Caller, json, problem::Problem, state::AppState};

/// Closes the extension's breaker, so that its deliveries go on now and not at the next probe, and starts
/// its actor again where the extension has failed. Where nothing was wrong, nothing changes.
pub(super) async fn reset(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (workspace, extension) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let installation = state.extension(workspace, &extension).await?;
    state.router.reset(workspace, installation.id).await?;
    Ok(json::success())
}

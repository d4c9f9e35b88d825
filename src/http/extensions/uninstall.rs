//! `DELETE /api/workspaces/{workspaceId}/extensions/{extensionId}`

use actix_web::{HttpResponse, web};

use crate::http::{access::Caller, json, problem::Problem, state::AppState};
use pointsman_domain::installation::InstallationChange;

/// Uninstalls an extension and answers at once; what is still due to it becomes dead letters afterwards.
pub(super) async fn uninstall(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (workspace, extension) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let installation = state.extension(workspace, &extension).await?;
    state
        .router
        .change_installation(workspace, installation.id, InstallationChange::Uninstall)
        .await?;
    Ok(json::success())
}

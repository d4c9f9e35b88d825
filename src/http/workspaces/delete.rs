//! `DELETE /api/workspaces/{workspaceId}`

use actix_web::{HttpResponse, web};

use crate::http::{access::Caller, json, problem::Problem, state::AppState};

/// The workspace is unknown to requests that begin after this answer, and nothing of it is delivered any more. What is
/// stored of it is deleted afterwards, which is why the answer is 202. Only those who may make workspaces may delete
/// them: nothing brings one back.
pub(super) async fn delete(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    state.admin(&caller)?;
    let workspace = state.member(&caller, &path).await?;
    let deleted = state.router.delete_workspace(workspace, caller.user_id).await;
    // Also after an error: the change may be committed although its answer was lost.
    state.access.forget_workspace(workspace);
    deleted?;
    Ok(json::accepted())
}

//! `DELETE /api/workspaces/{workspaceId}/members/{userId}`

use actix_web::{HttpResponse, web};

use crate::http::{access::Caller, json, path, problem::Problem, state::AppState};
use pointsman_domain::id::UserId;
use pointsman_router::ChangeError;
use pointsman_store as store;

/// The user is no member for requests that begin after this answer.
pub(super) async fn remove(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (workspace, user) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let user: UserId = path::id(&user, "member")?;
    let written = state
        .router
        .write(move |txn| {
            Box::pin(async move {
                if store::members::remove(txn, workspace, user).await? {
                    Ok(())
                } else {
                    Err(ChangeError::NotFound("member"))
                }
            })
        })
        .await;
    // Also after an error: the change may be committed although its answer was lost.
    state.access.forget_role(workspace, user);
    written?;
    Ok(json::success())
}

//! `PUT /api/workspaces/{workspaceId}/members/{userId}`

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::http::{
    access::Caller,
    json::{self, JsonBody},
    path,
    problem::Problem,
    state::AppState,
};
use pointsman_domain::{id::UserId, role::WorkspaceRole};
use pointsman_router::ChangeError;
use pointsman_store as store;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutMemberDto {
    role: WorkspaceRole,
}

/// Makes the user a member or gives a member another role, for requests that begin after this answer.
pub(super) async fn put(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
    body: JsonBody<PutMemberDto>,
) -> Result<HttpResponse, Problem> {
    let (workspace, user) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let user: UserId = path::id(&user, "user")?;
    let PutMemberDto { role } = body.read().await?;
    let now = state.clock.wall();
    let written = state
        .router
        .write(move |txn| {
            Box::pin(async move {
                // It may be deleted since the caller was let in.
                if store::workspaces::find(txn, workspace).await?.is_none() {
                    return Err(ChangeError::NotFound("workspace"));
                }
                if store::users::find(txn, user).await?.is_none() {
                    return Err(ChangeError::NotFound("user"));
                }
                Ok(store::members::put(txn, workspace, user, role, now).await?)
            })
        })
        .await;
    // Also after an error: the change may be committed although its answer was lost.
    state.access.forget_role(workspace, user);
    written?;
    Ok(json::success())
}

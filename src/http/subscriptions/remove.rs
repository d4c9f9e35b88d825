//! `DELETE /api/workspaces/{workspaceId}/extensions/{extensionId}/subscriptions/{subscriptionId}`

use actix_web::{HttpResponse, web};

use crate::http::{access::Caller, json, path, problem::Problem, state::AppState};
use pointsman_domain::{id::SubscriptionId, installation::InstallationChange};

/// Ends a subscription for events published after this answer; what is due already stays due.
pub(super) async fn remove(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String, String)>,
) -> Result<HttpResponse, Problem> {
    let (workspace, extension, subscription) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let installation = state.extension(workspace, &extension).await?;
    let subscription_id: SubscriptionId = path::id(&subscription, "subscription")?;
    let change = InstallationChange::Unsubscribe { subscription_id };
    state
        .router
        .change_installation(workspace, installation.id, change)
        .await?;
    Ok(json::success())
}

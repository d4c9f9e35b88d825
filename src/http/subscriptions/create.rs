//! `POST /api/workspaces/{workspaceId}/extensions/{extensionId}/subscriptions`

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::dto::SubscriptionDto;
use crate::http::{
    access::Caller,
    json::{self, JsonBody},
    problem::Problem,
    state::AppState,
};
use pointsman_domain::{event_pattern::EventPattern, id::SubscriptionId, installation::InstallationChange};
use pointsman_store as store;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubscribeDto {
    event_key: String,
}

/// Subscribes an extension to the events published after this answer. The same pattern twice is a conflict.
pub(super) async fn create(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
    body: JsonBody<SubscribeDto>,
) -> Result<HttpResponse, Problem> {
    let (workspace, extension) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let installation = state.extension(workspace, &extension).await?;
    let SubscribeDto { event_key } = body.read().await?;
    let pattern =
        EventPattern::parse(&event_key).map_err(|rule| Problem::validation("eventKey", rule.to_string()))?;
    let id = SubscriptionId::new(state.clock.new_uuid());
    let asked_at = state.clock.now();
    let change = InstallationChange::Subscribe {
        subscription_id: id,
        pattern: pattern.clone(),
    };
    state
        .router
        .change_installation(workspace, installation.id, change)
        .await?;
    // The subscription is made, even if it cannot be read again.
    let reader = state.router.reader_of(workspace);
    let found = store::subscriptions::find_by_pattern(&reader, workspace, installation.id, &pattern).await;
    let stored = found
        .inspect_err(|error| log::warn!(error:%; "a subscription that was made cannot be read"))
        .unwrap_or_default()
        .filter(|stored| stored.id == id);
    Ok(json::created(&SubscriptionDto {
        id,
        event_key,
        created_at: stored.map_or(asked_at, |stored| stored.created_at),
    }))
}

//! `GET /api/workspaces/{workspaceId}/extensions/{extensionId}/subscriptions`

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::dto::SubscriptionDto;
use crate::http::{
    access::Caller,
    page::{Cursor, Limit, Query, page},
    problem::Problem,
    state::AppState,
};
use pointsman_domain::id::SubscriptionId;
use pointsman_store as store;

#[derive(Debug, Deserialize)]
pub(super) struct ListSubscriptions {
    cursor: Option<Cursor<SubscriptionId>>,
    #[serde(default)]
    limit: Limit,
}

/// The subscriptions of an extension, newest first; those of a disabled one too.
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
    query: Query<ListSubscriptions>,
) -> Result<HttpResponse, Problem> {
    let (workspace, extension) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let installation = state.extension(workspace, &extension).await?;
    let ListSubscriptions { cursor, limit } = query.read()?;
    let wanted = usize::try_from(limit.fetch()).unwrap_or(usize::MAX);
    let subscriptions =
        store::subscriptions::list(&state.router.reader_of(workspace), workspace, installation.id)
            .await?
            .into_iter()
            .filter(|subscription| cursor.is_none_or(|cursor| subscription.id < cursor.0))
            .take(wanted)
            .collect();
    Ok(page(subscriptions, limit, |row| row.id, SubscriptionDto::from))
}

//! `GET /api/workspaces/{workspaceId}/extensions`

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::http::{
    access::Caller,
    page::{Cursor, Limit, Query, page},
    problem::Problem,
    state::AppState,
};
use pointsman_domain::id::InstallationId;
use pointsman_store as store;

#[derive(Debug, Deserialize)]
pub(super) struct ListExtensions {
    cursor: Option<Cursor<InstallationId>>,
    #[serde(default)]
    limit: Limit,
}

/// The installed extensions, newest first.
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    workspace: web::Path<String>,
    query: Query<ListExtensions>,
) -> Result<HttpResponse, Problem> {
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let ListExtensions { cursor, limit } = query.read()?;
    let before = cursor.map(|cursor| cursor.0);
    let extensions = store::installations::page(
        &state.router.reader_of(workspace),
        workspace,
        before,
        limit.fetch(),
    )
    .await?
    .into_iter()
    .map(|installation| state.extension_dto(installation))
    .collect();
    Ok(page(
        extensions,
        limit,
        |extension| extension.id,
        |extension| extension,
    ))
}

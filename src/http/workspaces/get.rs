//! `GET /api/workspaces/{workspaceId}`

use actix_web::{HttpResponse, web};

use super::dto::WorkspaceDto;
use crate::http::{access::Caller, json, problem::Problem, state::AppState};
use pointsman_store as store;

pub(super) async fn get(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let id = state.member(&caller, &path).await?;
    let workspace = store::workspaces::find(state.router.reader(), id)
        .await?
        .ok_or_else(|| Problem::not_found("workspace"))?;
    Ok(json::success_with(&WorkspaceDto::from(workspace)))
}

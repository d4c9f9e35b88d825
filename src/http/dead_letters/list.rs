//! `GET /api/workspaces/{workspaceId}/events/dead-letters`

use actix_web::{HttpResponse, web};

use super::filter::ListDeadLetters;
use crate::http::{access::Caller, page::Query, problem::Problem, state::AppState};
use pointsman_store::dead_letters;

/// The dead letters of the workspace, newest first where no order is asked for.
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    workspace: web::Path<String>,
    query: Query<ListDeadLetters>,
) -> Result<HttpResponse, Problem> {
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let query = query.read()?;
    let (db, time_left) = (&state.router.reader_of(workspace), state.time_to_look());
    let (filter, request) = (query.filter(), query.request()?);
    let page = dead_letters::page(db, workspace, &filter, &request, time_left).await?;
    Ok(query.answer(page))
}

//! `GET /api/dead-letters`

use actix_web::{HttpResponse, web};

use super::filter::ListDeadLetters;
use crate::http::{access::Caller, page::Query, problem::Problem, state::AppState};
use pointsman_store::dead_letters;

/// The dead letters of every workspace, or of the one that the query names, newest first where no order
/// is asked for. For global admins.
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    query: Query<ListDeadLetters>,
) -> Result<HttpResponse, Problem> {
    state.admin(&caller)?;
    let query = query.read()?;
    let (db, time_left) = (state.router.reader(), state.time_to_look());
    let (filter, request) = (query.filter(), query.request()?);
    let page = match query.workspace_id {
        Some(workspace) => dead_letters::page(db, workspace, &filter, &request, time_left).await?,
        None => dead_letters::page_across_workspaces(db, &filter, &request, time_left).await?,
    };
    Ok(query.answer(page))
}

//! `GET /api/workspaces/{workspaceId}/events/dead-letters`

use actix_web::{HttpResponse, web};

use super::{dto::DeadLetterDto, filter::ListDeadLetters};
use crate::http::{
    access::Caller,
    page::{Query, page},
    problem::Problem,
    state::AppState,
};
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
    let letters = dead_letters::page(
        &state.router.reader_of(workspace),
        workspace,
        &query.filter(),
        query.order,
        query.after()?,
        query.limit.fetch(),
    )
    .await?;
    Ok(page(
        letters,
        query.limit,
        |letter| query.cursor_key(letter),
        DeadLetterDto::from,
    ))
}

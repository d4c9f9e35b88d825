//! `GET /api/dead-letters`

use actix_web::{HttpResponse, web};

use super::{dto::DeadLetterDto, filter::ListDeadLetters};
use crate::http::{
    access::Caller,
    page::{Query, page},
    problem::Problem,
    state::AppState,
};
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
    let (db, filter, order) = (state.router.reader(), query.filter(), query.order);
    let (after, limit) = (query.after()?, query.limit.fetch());
    let letters = match query.workspace_id {
        Some(workspace) => dead_letters::page(db, workspace, &filter, order, after, limit).await?,
        None => dead_letters::page_across_workspaces(db, &filter, order, after, limit).await?,
    };
    Ok(page(
        letters,
        query.limit,
        |letter| query.cursor_key(letter),
        DeadLetterDto::from,
    ))
}

//! `GET /api/dead-letters`

use actix_web::{HttpResponse, web};

use super::{dto::DeadLetterDto, filter::ListDeadLetters};
use crate::{
    http::{
        access::Caller,
        page::{Query, page},
        problem::Problem,
        state::AppState,
    },
    store::dead_letters,
};

/// The dead letters of every workspace, or of the one that the query names, newest first. For global admins.
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    query: Query<ListDeadLetters>,
) -> Result<HttpResponse, Problem> {
    state.admin(&caller)?;
    let query = query.read()?;
    let (db, filter, before, limit) = (
        state.router.reader(),
        query.filter(),
        query.before(),
        query.limit.fetch(),
    );
    let letters = match query.workspace_id {
        Some(workspace) => dead_letters::page(db, workspace, &filter, before, limit).await?,
        None => dead_letters::page_across_workspaces(db, &filter, before, limit).await?,
    };
    let place = |letter: &dead_letters::DeadLetter| (letter.failed_at.millis(), letter.id);
    Ok(page(letters, query.limit, place, DeadLetterDto::from))
}

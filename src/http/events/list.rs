//! `GET /api/workspaces/{workspaceId}/events`

use actix_web::{HttpResponse, web};

use super::{dto::EventDto, filter::ListEvents};
use crate::http::{
    access::Caller,
    answer,
    page::{Cursor, Query},
    problem::Problem,
    state::AppState,
};
use pointsman_store::events::{self, PageRequest};

/// A page ends with the event at which its payloads reach this many bytes.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The events of the workspace, newest first where no order is asked for.
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    workspace: web::Path<String>,
    query: Query<ListEvents>,
) -> Result<HttpResponse, Problem> {
    let workspace = state.member(&caller, &workspace).await?;
    let members = query.below("payload.");
    let query = query.read()?;
    let direction = query.order;
    let request = PageRequest {
        direction,
        after: query.start()?,
        limit: query.limit.rows(),
        max_bytes: MAX_PAGE_BYTES,
    };
    let filter = query.filter(members)?;
    let time_left = state.time_to_look();
    let db = &state.router.reader_of(workspace);
    let page = events::page(db, workspace, &filter, &request, time_left).await?;
    let mut share = state.pages.share();
    if !share.grow(page.events.iter().map(|event| event.payload.len()).sum()) {
        return Err(Problem::too_many_pages());
    }
    let next = page.next.map(|next| Cursor((direction, next)).to_string());
    answer::held_list(page.events.into_iter().map(EventDto::from).collect(), next, share)
}

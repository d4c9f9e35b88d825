//! `GET /api/storage/workspaces`

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::http::{
    access::Caller,
    page::{Cursor, Limit, Query, page},
    problem::Problem,
    state::AppState,
};
use pointsman_domain::{id::WorkspaceId, seq::Seq, timestamp::Timestamp};
use pointsman_store::storage::{self, WorkspaceSize};

#[derive(Debug, Deserialize)]
pub(super) struct ListSizes {
    cursor: Option<Cursor<WorkspaceId>>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkspaceSizeDto {
    workspace_id: WorkspaceId,
    name: String,
    events: u64,
    oldest_event_at: Option<Timestamp>,
    head: Seq,
    pruned_through: Seq,
}

impl From<WorkspaceSize> for WorkspaceSizeDto {
    fn from(size: WorkspaceSize) -> Self {
        Self {
            workspace_id: size.id,
            name: size.name,
            events: size.events,
            oldest_event_at: size.oldest_event_at,
            head: size.head,
            pruned_through: size.pruned_through,
        }
    }
}

pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    query: Query<ListSizes>,
) -> Result<HttpResponse, Problem> {
    state.admin(&caller)?;
    let ListSizes { cursor, limit } = query.read()?;
    let after = cursor.map(|cursor| cursor.0);
    let sizes = storage::list_across_workspaces(state.router.reader(), after, limit.fetch()).await?;
    Ok(page(sizes, limit, |size| size.id, WorkspaceSizeDto::from))
}

//! `GET /api/workspaces`

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::dto::WorkspaceDto;
use crate::http::{
    access::Caller,
    page::{Cursor, Limit, Query, page},
    problem::Problem,
    state::AppState,
};
use pointsman_domain::{id::WorkspaceId, role::GlobalRole};
use pointsman_store as store;

#[derive(Debug, Deserialize)]
pub(super) struct ListWorkspaces {
    cursor: Option<Cursor<WorkspaceId>>,
    #[serde(default)]
    limit: Limit,
}

/// All workspaces for a global admin; for any other user those of which they are a member.
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Caller,
    query: Query<ListWorkspaces>,
) -> Result<HttpResponse, Problem> {
    let ListWorkspaces { cursor, limit } = query.read()?;
    let (db, after) = (state.router.reader(), cursor.map(|cursor| cursor.0));
    let workspaces = match caller.role {
        GlobalRole::Admin => store::workspaces::list_across_workspaces(db, after, limit.fetch()).await?,
        GlobalRole::User => {
            store::workspaces::list_of_member(db, caller.user_id, after, limit.fetch()).await?
        }
    };
    Ok(page(workspaces, limit, |row| row.id, WorkspaceDto::from))
}

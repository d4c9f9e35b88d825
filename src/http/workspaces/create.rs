//! `POST /api/workspaces`

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::dto::WorkspaceDto;
use crate::http::{
    access::Caller,
    json::{self, JsonBody},
    problem::Problem,
    state::AppState,
    validate::{self, Checks},
};
use pointsman_domain::id::WorkspaceId;
use pointsman_store as store;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateWorkspaceDto {
    name: String,
}

pub(super) async fn create(
    state: web::Data<AppState>,
    caller: Caller,
    body: JsonBody<CreateWorkspaceDto>,
) -> Result<HttpResponse, Problem> {
    state.admin(&caller)?;
    let CreateWorkspaceDto { name } = body.read().await?;
    let mut checks = Checks::new();
    checks.check("name", validate::name(&name));
    checks.finish()?;
    let workspace = WorkspaceDto {
        id: WorkspaceId::new(state.clock.new_uuid()),
        name: name.clone(),
        created_at: state.clock.wall(),
    };
    let (id, created_at) = (workspace.id, workspace.created_at);
    state
        .router
        .write(move |txn| {
            Box::pin(async move { Ok(store::workspaces::insert(txn, id, &name, created_at).await?) })
        })
        .await?;
    Ok(json::created(&workspace))
}

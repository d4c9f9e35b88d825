//! `GET /api/workspaces/{workspaceId}/events/dead-letters/{deadLetterId}`

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::dto::DeadLetterDto;
use crate::http::{
    access::Caller, extensions::attempt::AttemptDto, json, payload::PayloadDto, problem::Problem,
    state::AppState,
};
use pointsman_store::attempts;

#[derive(Debug, Serialize)]
struct DeadLetterWithPayloadDto {
    #[serde(flatten)]
    letter: DeadLetterDto,
    #[serde(flatten)]
    payload: PayloadDto,
    /// The attempts that the history still has, replays included, oldest first.
    attempts: Vec<AttemptDto>,
}

/// The dead letter with its payload and the attempts to deliver it.
pub(super) async fn get(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (workspace, letter) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let mut letter = state.dead_letter(workspace, &letter).await?;
    let history = attempts::of_event(
        state.router.reader(),
        workspace,
        letter.event_id,
        Some(letter.installation_id),
    )
    .await?;
    Ok(json::success_with(&DeadLetterWithPayloadDto {
        payload: std::mem::take(&mut letter.payload).into(),
        letter: letter.into(),
        attempts: history.into_iter().map(AttemptDto::from).collect(),
    }))
}

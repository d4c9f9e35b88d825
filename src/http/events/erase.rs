//! `POST /api/workspaces/{workspaceId}/events/{eventId}/erase`

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::http::{access::Caller, json, path, problem::Problem, state::AppState};
use pointsman_domain::{
    id::{EventId, UserId},
    timestamp::Timestamp,
};
use pointsman_store::{
    erasures::{self, Erasure},
    events,
};

/// What was erased of an event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErasureDto {
    at: Timestamp,
    by: UserId,
    what: ErasedDto,
}

/// How many of each kind held something of the event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ErasedDto {
    log: i64,
    dead_letters: i64,
    attempts: i64,
    chat_messages: i64,
}

impl From<Erasure> for ErasureDto {
    fn from(erasure: Erasure) -> Self {
        Self {
            at: erasure.at,
            by: erasure.by,
            what: ErasedDto {
                log: 1,
                dead_letters: erasure.dead_letters,
                attempts: erasure.attempts,
                chat_messages: erasure.chat_messages,
            },
        }
    }
}

/// Erases the payload and the actor of the event wherever they are. When this is answered no delivery of it begins any
/// more. Erasing once more answers the same.
pub(super) async fn erase(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (workspace, event) = path.into_inner();
    let workspace = state.workspace_admin(&caller, &workspace).await?;
    let id: EventId = path::id(&event, "event")?;
    state.router.erase(workspace, id, caller.user_id).await?;
    let db = &state.router.reader_of(workspace);
    let event = events::find(db, workspace, id).await?;
    let erasure = match event {
        Some(event) => erasures::find(db, workspace, event.seq).await?,
        // It is pruned meanwhile.
        None => None,
    };
    let erasure = erasure.ok_or_else(|| Problem::not_found("event"))?;
    Ok(json::success_with(&ErasureDto::from(erasure)))
}

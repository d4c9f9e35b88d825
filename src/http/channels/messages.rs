//! `GET /api/workspaces/{workspaceId}/channels/{channel}/messages`

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use uuid::Uuid;

use super::dto::MessageDto;
use crate::http::{
    access::Caller,
    page::{Cursor, Limit, Query, page},
    problem::Problem,
    state::AppState,
};
use pointsman_store::chat::{self, Message};

#[derive(Debug, Deserialize)]
pub(super) struct ListMessages {
    /// The last message of the page before.
    cursor: Option<Cursor<Uuid>>,
    #[serde(default)]
    limit: Limit,
}

/// The messages of a channel, newest first. A channel that nobody has posted to is empty.
pub(super) async fn messages(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
    query: Query<ListMessages>,
) -> Result<HttpResponse, Problem> {
    let (workspace, channel) = path.into_inner();
    let workspace = state.member(&caller, &workspace).await?;
    let ListMessages { cursor, limit } = query.read()?;
    super::dto::check(&channel)?;
    let before = cursor.map(|Cursor(id)| id);
    let messages = chat::messages(
        &state.router.reader_of(workspace),
        workspace,
        &channel,
        before,
        limit.fetch(),
    )
    .await?;
    Ok(page(
        messages,
        limit,
        |message: &Message| message.id,
        MessageDto::from,
    ))
}

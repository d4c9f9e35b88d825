//! `POST /api/workspaces/{workspaceId}/channels/{channel}/messages`

use actix_web::{
    HttpResponse,
    http::header::{HeaderName, HeaderValue},
    web,
};
use serde::Deserialize;

use super::dto::MessageDto;
use crate::{
    chat,
    http::{
        access::Caller,
        json::{self, JsonBody},
        problem::Problem,
        state::AppState,
    },
};
use pointsman_domain::{
    event::NewEvent,
    id::{EventId, UserId, WorkspaceId},
    installation::DeliveryType,
};
use pointsman_extension::engine;
use pointsman_store::{self as store, chat::Message};

/// The id of the event that announces the message.
const X_EVENT_ID: HeaderName = HeaderName::from_static("x-event-id");

#[derive(Debug, Deserialize)]
pub(super) struct PostMessageDto {
    message: String,
}

/// Posts a message. The message and the `chat.message.received` that announces it are written in one transaction.
pub(super) async fn post(
    state: web::Data<AppState>,
    caller: Caller,
    path: web::Path<(String, String)>,
    body: JsonBody<PostMessageDto>,
) -> Result<HttpResponse, Problem> {
    let (workspace, channel) = path.into_inner();
    let workspace = state.member(&caller, &workspace).await?;
    state.router.may_publish(workspace)?;
    let PostMessageDto { message } = body.read().await?;
    super::dto::check(&channel)?;
    chat::check_message(&message).map_err(|rule| Problem::validation("message", rule))?;
    state.chat_is_there(workspace).await?;
    let message = Message {
        id: state.clock.new_uuid(),
        channel,
        message,
        sender: state.email_of(caller.user_id).await?,
        event_id: EventId::new(state.clock.new_uuid()),
        created_at: state.clock.wall(),
    };
    let announcement = announcement(&message, caller.user_id)?;
    let stored = message.clone();
    state
        .router
        .transact(workspace, vec![announcement], move |transaction| {
            Box::pin(store::chat::insert(transaction, workspace, stored))
        })
        .await?;
    let event_id = HeaderValue::try_from(message.event_id.to_string()).expect("ids are plain ASCII");
    let mut response = json::created(&MessageDto::from(message));
    response.headers_mut().insert(X_EVENT_ID, event_id);
    Ok(response)
}

fn announcement(message: &Message, poster: UserId) -> Result<NewEvent, Problem> {
    let publication = engine::publication_parts(chat::announcement(message).map_err(Problem::internal)?);
    Ok(NewEvent {
        id: message.event_id,
        event_key: publication.event_key,
        schema_version: None,
        actor: Some(poster.to_string().into()),
        payload: publication.payload,
        occurred_at: message.created_at,
        traceparent: None,
        cause: None,
    })
}

impl AppState {
    /// # Errors
    /// `CONFLICT` when chat is not installed and enabled: the message would not be kept.
    async fn chat_is_there(&self, workspace: WorkspaceId) -> Result<(), Problem> {
        let chat = store::installations::find_by_key(&self.router.reader_of(workspace), workspace, chat::KEY)
            .await?;
        let is_there = chat.is_some_and(|chat| chat.enabled && chat.delivery_type == DeliveryType::InProcess);
        if is_there {
            return Ok(());
        }
        Err(Problem::conflict(
            "the chat extension is not installed and enabled in this workspace",
        ))
    }

    async fn email_of(&self, user: UserId) -> Result<String, Problem> {
        let users = store::users::find_many(self.router.access_reader(), std::iter::once(user)).await?;
        let user = users.into_iter().next().ok_or_else(Problem::unauthenticated)?;
        Ok(user.email)
    }
}

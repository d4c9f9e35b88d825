//! The channels of a workspace, as the built-in chat extension keeps them.

mod list;
mod messages;
mod post;

use actix_web::web;
use serde::Serialize;
use uuid::Uuid;

use super::problem::Problem;
use crate::chat;
use pointsman_domain::{id::EventId, timestamp::Timestamp};
use pointsman_store::chat::Message;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/api/workspaces/{workspaceId}/channels").route(web::get().to(list::list)))
        .service(
            web::resource("/api/workspaces/{workspaceId}/channels/{channel}/messages")
                .route(web::get().to(messages::messages))
                .route(web::post().to(post::post)),
        );
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageDto {
    id: Uuid,
    channel: String,
    message: String,
    sender: String,
    /// The notification that brought it, or the event that announced it.
    event_id: EventId,
    created_at: Timestamp,
}

impl From<Message> for MessageDto {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            channel: message.channel,
            message: message.message,
            sender: message.sender,
            event_id: message.event_id,
            created_at: message.created_at,
        }
    }
}

/// Checks the channel that a path names.
///
/// # Errors
/// `VALIDATION_FAILED` under `channel`.
fn check(channel: &str) -> Result<(), Problem> {
    chat::check_channel(channel).map_err(|rule| Problem::validation("channel", rule))
}

//! A message of a channel, as the API shows it.

use pointsman_domain::{id::EventId, timestamp::Timestamp};
use pointsman_store::chat::Message;
use serde::Serialize;
use uuid::Uuid;

use crate::{chat, http::problem::Problem};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageDto {
    pub(super) id: Uuid,
    pub(super) channel: String,
    pub(super) message: String,
    pub(super) sender: String,
    /// The id of the notification or, for a message that a member posted, of the event that announced it.
    pub(super) event_id: EventId,
    pub(super) created_at: Timestamp,
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
pub(super) fn check(channel: &str) -> Result<(), Problem> {
    chat::check_channel(channel).map_err(|rule| Problem::validation("channel", rule))
}

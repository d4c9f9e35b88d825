//! The built-in chat extension: keeps what is said in a workspace's channels. Every extension can post a message by
//! publishing `platform.notification`, without depending on this one.

use futures_util::FutureExt;
use schemars::JsonSchema;
use sea_orm::DatabaseTransaction;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use pointsman_clock::Clock;
use pointsman_domain::id::WorkspaceId;
use pointsman_extension::{
    Effect, EventContext, HandlerError, Publication, PublishError, event_handler, extension,
};
use pointsman_store::chat::{self, Message};

/// The key under which it is installed.
pub(crate) const KEY: &str = "chat";
/// What it publishes for every message that it receives.
pub(crate) const MESSAGE_RECEIVED: &str = "chat.message.received";
/// Channels that every workspace has, with their descriptions.
pub(crate) const WELL_KNOWN_CHANNELS: [(&str, &str); 2] = [
    ("deals", "CRM deal activity"),
    ("general", "General workspace notifications"),
];

const MAX_CHANNEL_BYTES: usize = 255;
const MAX_SENDER_BYTES: usize = 255;
const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// The extension.
#[derive(Debug, Default)]
pub(crate) struct Chat {
    clock: Clock,
}

impl Chat {
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

/// The payload of `platform.notification`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Notification {
    /// `general`, `deals`, or the id of a conversation.
    channel: String,
    message: String,
    sender: String,
}

/// The payload of `chat.message.received`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageReceived<'a> {
    message_id: Uuid,
    channel: &'a str,
    message: &'a str,
    sender: &'a str,
}

#[extension(key = "chat", name = "Chat")]
impl Chat {
    /// Synchronous, so that a message can be read as soon as its publisher has the answer.
    #[event_handler(event_key = "platform.notification")]
    fn notification(&self, notification: Notification, cx: EventContext) -> Result<Effect, HandlerError> {
        let Notification {
            channel,
            message,
            sender,
        } = notification;
        for (field, checked) in [
            ("channel", check_channel(&channel)),
            ("message", check_message(&message)),
            ("sender", check_sender(&sender)),
        ] {
            checked.map_err(|why| HandlerError::permanent(format!("payload.{field}: {why}")))?;
        }
        let message = Message {
            id: self.clock.new_uuid(),
            channel,
            message,
            sender,
            event_id: cx.event().id,
            created_at: self.clock.wall(),
        };
        let (workspace, announcement) = (cx.workspace_id(), announcement(&message)?);
        Ok(
            Effect::new(move |transaction| store(transaction, workspace, message).boxed())
                .and_publish(announcement),
        )
    }
}

async fn store(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    message: Message,
) -> Result<(), HandlerError> {
    Ok(chat::insert(transaction, workspace, message).await?)
}

/// The event that announces the message.
///
/// # Errors
/// Never for a message that was checked.
pub(crate) fn announcement(message: &Message) -> Result<Publication, PublishError> {
    let received = MessageReceived {
        message_id: message.id,
        channel: &message.channel,
        message: &message.message,
        sender: &message.sender,
    };
    Publication::new(MESSAGE_RECEIVED, &received)
}

/// # Errors
/// The rule that the name of a channel breaks.
pub(crate) fn check_channel(channel: &str) -> Result<(), &'static str> {
    line(channel, MAX_CHANNEL_BYTES, "must be at most 255 bytes long")
}

fn check_sender(sender: &str) -> Result<(), &'static str> {
    line(sender, MAX_SENDER_BYTES, "must be at most 255 bytes long")
}

fn line(text: &str, max_bytes: usize, too_long: &'static str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        Err("must not be empty")
    } else if text.len() > max_bytes {
        Err(too_long)
    } else if text.contains(char::is_control) {
        Err("must not contain control characters")
    } else {
        Ok(())
    }
}

/// # Errors
/// The rule that the message breaks.
pub(crate) fn check_message(message: &str) -> Result<(), &'static str> {
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if message.trim().is_empty() {
        Err("must not be empty")
    } else if message.len() > MAX_MESSAGE_BYTES {
        Err("must be at most 16384 bytes long")
    } else if message.contains(is_control) {
        Err("must not contain control characters but line breaks and tabs")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

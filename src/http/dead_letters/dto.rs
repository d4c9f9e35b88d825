//! How a dead letter is shown.

use serde::Serialize;

use pointsman_domain::{
    attempt::DeadLetterReason,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    timestamp::Timestamp,
};
use pointsman_store::dead_letters::{DeadLetter, DeadLetterStatus};

/// A dead letter without its payload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetterDto {
    id: DeadLetterId,
    workspace_id: WorkspaceId,
    extension_id: InstallationId,
    extension_key: String,
    /// The handler of an in-process extension.
    #[serde(skip_serializing_if = "String::is_empty")]
    handler: String,
    event_id: EventId,
    event_key: String,
    schema_version: Option<String>,
    actor: Option<String>,
    occurred_at: Timestamp,
    reason: DeadLetterReason,
    /// Made before it was given up.
    attempts_made: i32,
    last_status: Option<i32>,
    last_error: Option<String>,
    failed_at: Timestamp,
    status: DeadLetterStatus,
    replayed_at: Option<Timestamp>,
}

impl From<DeadLetter> for DeadLetterDto {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            workspace_id: letter.workspace_id,
            extension_id: letter.installation_id,
            extension_key: letter.extension_key,
            handler: letter.handler,
            event_id: letter.event_id,
            event_key: letter.event_key.as_str().to_owned(),
            schema_version: letter.schema_version,
            actor: letter.actor,
            occurred_at: letter.occurred_at,
            reason: letter.reason,
            attempts_made: letter.attempts,
            last_status: letter.last_status,
            last_error: letter.last_error,
            failed_at: letter.failed_at,
            status: letter.status,
            replayed_at: letter.replayed_at,
        }
    }
}

//! Changes that the router requests: start a replay, discard a dead letter, close an uninstalled installation, delete
//! a workspace, erase an event.

use entity::{dead_letter_event, ext_delivery_retry, ext_installation};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter};

use super::{apply::apply, erasure, workspace_deletion};
use pointsman_domain::{
    attempt::DeadLetterReason,
    event::ERASED_PAYLOAD,
    handler_name::HandlerName,
    id::{DeadLetterId, EventId, InstallationId, WorkspaceId},
    installation::Installation,
    seq::Seq,
    timestamp::Timestamp,
};
use pointsman_journal::{
    ChangeError, Notice,
    admin::letter::{self, StoredLetter},
    change::Change,
    changes::Changes,
};

/// Makes the change. Returns the notice for the router, if there is one.
pub(super) async fn make(
    transaction: &DatabaseTransaction,
    change: Change,
) -> Result<Option<Notice>, ChangeError> {
    match change {
        Change::StartReplay {
            workspace,
            letter,
            to,
            now,
        } => start_replay(transaction, workspace, letter, to, now)
            .await
            .map(Some),
        Change::Discard { workspace, letter } => {
            let letter = find(transaction, workspace, letter).await?;
            apply(transaction, &letter::discard(&letter)?.changes()).await?;
            Ok(None)
        }
        Change::Erase {
            workspace,
            event,
            by,
            now,
        } => erasure::begin(transaction, workspace, event, by, now).await,
        Change::EndErasure { workspace, event } => erasure::end(transaction, workspace, event).await,
        Change::DeleteWorkspace { workspace, by, now } => {
            workspace_deletion::mark(transaction, workspace, by, now).await
        }
        Change::Close { installation } => {
            let changes = Changes {
                closed: vec![installation],
                ..Changes::default()
            };
            apply(transaction, &changes).await?;
            Ok(None)
        }
    }
}

async fn start_replay(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    letter: DeadLetterId,
    to: Option<InstallationId>,
    now: Timestamp,
) -> Result<Notice, ChangeError> {
    let letter = find(transaction, workspace, letter).await?;
    letter.check_dead()?;
    let target = to.unwrap_or(letter.installation_id);
    let target: Installation = ext_installation::Entity::find_by_id(target.uuid())
        .filter(ext_installation::Column::WorkspaceId.eq(workspace.uuid()))
        .one(transaction)
        .await?
        .ok_or(ChangeError::NotFound("extension"))?
        .into();
    let key = letter.replay_key();
    let row = ext_delivery_retry::Entity::find_by_id((
        target.id.uuid(),
        key.kind.as_str().to_owned(),
        key.event_id.uuid(),
        key.handler.as_str().to_owned(),
    ));
    let is_replayed = row.count(transaction).await? > 0;
    let changes = letter::start_replay(&letter, &target, is_replayed, now)?;
    apply(transaction, &changes.changes()).await?;
    Ok(Notice::RetriesAdded {
        workspace_id: workspace,
        installation_id: target.id,
        at: now,
    })
}

async fn find(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    id: DeadLetterId,
) -> Result<StoredLetter, ChangeError> {
    let row = dead_letter_event::Entity::find_by_id(id.uuid())
        .filter(dead_letter_event::Column::WorkspaceId.eq(workspace.uuid()))
        .one(transaction)
        .await?
        .ok_or(ChangeError::NotFound("dead letter"))?;
    Ok(StoredLetter {
        is_erased: row.payload == ERASED_PAYLOAD,
        id,
        workspace_id: workspace,
        installation_id: InstallationId::new(row.installation_id),
        extension_key: row.extension_key,
        event_id: EventId::new(row.event_id),
        handler: HandlerName::intern(&row.handler),
        seq: Seq::new(row.seq),
        reason: DeadLetterReason::parse(&row.reason),
        attempts: u32::try_from(row.attempts).unwrap_or(0),
        last_status: row.last_status.and_then(|status| u16::try_from(status).ok()),
        last_error: row.last_error,
        status: row.status,
    })
}

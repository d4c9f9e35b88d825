//! The router's own changes: of dead letters, and of installations that are done with.

use entity::{dead_letter_event, ext_delivery_retry, ext_installation};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, Set, Unchanged,
};

use pointsman_domain::{
    attempt::{DeadLetterReason, DeliveryKind},
    id::{DeadLetterId, InstallationId, WorkspaceId},
    timestamp::Timestamp,
};
use pointsman_journal::{ChangeError, Notice, change::Change};

/// Makes the change, and says what the router is to be told of it.
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
            let letter = find_dead(transaction, workspace, letter).await?;
            set_status(transaction, letter, "DISCARDED").await?;
            Ok(None)
        }
        Change::Close { installation } => {
            close(transaction, installation).await?;
            Ok(None)
        }
    }
}

async fn close(transaction: &DatabaseTransaction, id: InstallationId) -> Result<(), ChangeError> {
    let closed = ext_installation::ActiveModel {
        id: Unchanged(id.uuid()),
        closed: Set(true),
        ..Default::default()
    };
    closed.update(transaction).await?;
    Ok(())
}

async fn start_replay(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    letter: DeadLetterId,
    to: Option<InstallationId>,
    now: Timestamp,
) -> Result<Notice, ChangeError> {
    let letter = find_dead(transaction, workspace, letter).await?;
    let installation = replay_target(transaction, workspace, &letter, to).await?;
    insert_replay(transaction, &letter, installation, now).await?;
    set_status(transaction, letter, "REPLAYING").await?;
    Ok(Notice::RetriesAdded {
        workspace_id: workspace,
        installation_id: InstallationId::new(installation),
        at: now,
    })
}

async fn find_dead(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    id: DeadLetterId,
) -> Result<dead_letter_event::Model, ChangeError> {
    let letter = dead_letter_event::Entity::find_by_id(id.uuid())
        .filter(dead_letter_event::Column::WorkspaceId.eq(workspace.uuid()))
        .one(transaction)
        .await?
        .ok_or(ChangeError::NotFound("dead letter"))?;
    if letter.status != "DEAD" {
        return Err(ChangeError::Conflict(format!(
            "the dead letter is {}",
            letter.status
        )));
    }
    Ok(letter)
}

/// The installation to replay to, where it can take deliveries.
async fn replay_target(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    letter: &dead_letter_event::Model,
    to: Option<InstallationId>,
) -> Result<uuid::Uuid, ChangeError> {
    let id = to.map_or(letter.installation_id, InstallationId::uuid);
    let installation = ext_installation::Entity::find_by_id(id)
        .filter(ext_installation::Column::WorkspaceId.eq(workspace.uuid()))
        .one(transaction)
        .await?
        .ok_or(ChangeError::NotFound("extension"))?;
    let refusal = if letter.reason == DeadLetterReason::Corrupt.as_str() {
        Some("the event is corrupt: there is nothing left that could be delivered")
    } else if installation.key != letter.extension_key {
        Some("the letter belongs to another extension")
    } else if installation.uninstalled_at.is_some() {
        Some("the extension is uninstalled")
    } else if !installation.enabled {
        Some("the extension is disabled")
    } else {
        None
    };
    refusal.map_or(Ok(id), |refusal| Err(ChangeError::Conflict(refusal.to_owned())))
}

async fn insert_replay(
    transaction: &DatabaseTransaction,
    letter: &dead_letter_event::Model,
    installation: uuid::Uuid,
    now: Timestamp,
) -> Result<(), ChangeError> {
    let kind = DeliveryKind::Replay.as_str();
    let key = (
        installation,
        kind.to_owned(),
        letter.event_id,
        letter.handler.clone(),
    );
    if ext_delivery_retry::Entity::find_by_id(key)
        .count(transaction)
        .await?
        > 0
    {
        return Err(ChangeError::Conflict(
            "the event is being replayed to this extension already".to_owned(),
        ));
    }
    let row = ext_delivery_retry::Model {
        installation_id: installation,
        kind: kind.to_owned(),
        event_id: letter.event_id,
        handler: letter.handler.clone(),
        workspace_id: letter.workspace_id,
        seq: letter.seq,
        attempts: letter.attempts,
        next_attempt_at: now.millis(),
        last_status: letter.last_status,
        last_error: letter.last_error.clone(),
        dead_letter_id: Some(letter.id),
    };
    ext_delivery_retry::Entity::insert(row.into_active_model())
        .exec_without_returning(transaction)
        .await?;
    Ok(())
}

async fn set_status(
    transaction: &DatabaseTransaction,
    letter: dead_letter_event::Model,
    status: &str,
) -> Result<(), ChangeError> {
    let mut letter = letter.into_active_model();
    letter.status = Set(status.to_owned());
    letter.update(transaction).await?;
    Ok(())
}

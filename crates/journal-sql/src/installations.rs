//! Changes of installations and subscriptions. Each is executed between two batches, so that no event is written while
//! the position at which a span opens or closes is read.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter, Statement,
    sea_query::Expr,
};

use entity::ext_installation;

use super::{apply::apply, reads, spans, sql::rows_of, workspace_deletion::is_not_deleted};
use pointsman_clock::Clock;
use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    installation::{Installation, InstallationChange, InstallationView, NewInstallation},
    seq::Seq,
};
use pointsman_journal::{
    ChangeError,
    admin::installation::{self, ChangePoint, SpansNeeded},
};

/// Installs within the caller's transaction. No notice is sent.
///
/// # Errors
/// [`ChangeError::Conflict`] when an extension with this key is installed already; [`ChangeError::Database`] when the
/// database fails.
pub async fn install_within(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    new: NewInstallation,
    clock: Clock,
) -> Result<(), ChangeError> {
    install(transaction, workspace, new, clock).await.map(drop)
}

pub(super) async fn install(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    new: NewInstallation,
    clock: Clock,
) -> Result<InstallationView, ChangeError> {
    let taken = ext_installation::Entity::find()
        .filter(ext_installation::Column::WorkspaceId.eq(workspace.uuid()))
        .filter(ext_installation::Column::Key.eq(&new.key))
        .filter(ext_installation::Column::UninstalledAt.is_null())
        .one(transaction)
        .await?;
    if taken.is_some() {
        return Err(ChangeError::Conflict(format!(
            "an extension with the key {} is installed in this workspace already",
            new.key
        )));
    }
    let at = change_point(transaction, workspace, clock).await?;
    let changes = installation::install(workspace, new, at, &mut || clock.new_uuid())?;
    apply(transaction, &changes.changes()).await?;
    view(transaction, changes.installation).await
}

pub(super) async fn change(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    id: InstallationId,
    change: InstallationChange,
    clock: Clock,
) -> Result<InstallationView, ChangeError> {
    let row = ext_installation::Entity::find_by_id(id.uuid())
        .filter(ext_installation::Column::WorkspaceId.eq(workspace.uuid()))
        .filter(ext_installation::Column::UninstalledAt.is_null())
        .one(transaction)
        .await?
        .ok_or(ChangeError::NotFound("extension"))?;
    let installation = Installation::from(row);
    let spans = spans::needed(
        transaction,
        &installation,
        SpansNeeded::by(&change, &installation),
    )
    .await?;
    let at = change_point(transaction, workspace, clock).await?;
    let changes = installation::change(installation, &spans, change, at, &mut || clock.new_uuid())?;
    apply(transaction, &changes.changes()).await?;
    view(transaction, changes.installation).await
}

/// The current time, and the end of the workspace's log.
async fn change_point(
    transaction: &DatabaseTransaction,
    workspace: WorkspaceId,
    clock: Clock,
) -> Result<ChangePoint, DbErr> {
    Ok(ChangePoint {
        head: reads::head(transaction, workspace).await?,
        now: clock.now(),
    })
}

/// The installation with its spans, cursor and retries, as caches keep it.
async fn view<C: ConnectionTrait>(
    connection: &C,
    installation: Installation,
) -> Result<InstallationView, ChangeError> {
    let id = installation.id;
    let mut views = views_of(connection, vec![installation]).await?;
    views.pop().ok_or_else(|| {
        let gone = format!("installation {id} is gone while its view is read");
        ChangeError::Database(DbErr::RecordNotFound(gone))
    })
}

/// Every installation of the workspace that is not closed; none of a workspace that is deleted.
pub(super) async fn views<C: ConnectionTrait>(
    connection: &C,
    workspace: WorkspaceId,
) -> Result<Vec<InstallationView>, ChangeError> {
    let installations = ext_installation::Entity::find()
        .filter(ext_installation::Column::WorkspaceId.eq(workspace.uuid()))
        // In the same words as the partial index, so that it is used.
        .filter(Expr::cust("NOT closed"))
        .filter(Expr::cust(is_not_deleted("ext_installation.workspace_id")))
        .all(connection)
        .await?;
    let installations = installations.into_iter().map(Installation::from).collect();
    views_of(connection, installations).await
}

/// The views of these installations, with two queries for each piece of them: 51 are read in pieces of 32, 16, 2 and 1,
/// more than 128 in pieces of at most that many.
async fn views_of<C: ConnectionTrait>(
    connection: &C,
    installations: Vec<Installation>,
) -> Result<Vec<InstallationView>, ChangeError> {
    let backend = connection.get_database_backend();
    let ids: Vec<InstallationId> = installations.iter().map(|one| one.id).collect();
    let mut progress = HashMap::new();
    for statement in progress_of(&ids, backend) {
        for row in connection.query_all_raw(statement).await? {
            let id = InstallationId::new(row.try_get("", "id")?);
            let settled: Option<i64> = row.try_get("", "settled_seq")?;
            progress.insert(id, (settled.map(Seq::new), row.try_get("", "has_retries")?));
        }
    }
    let mut views: Vec<InstallationView> = installations
        .into_iter()
        .map(|installation| {
            let (settled, has_retries) = progress.remove(&installation.id).unwrap_or_default();
            InstallationView {
                spans: Vec::new(),
                settled: settled.unwrap_or(installation.installed_seq),
                has_retries,
                installation,
            }
        })
        .collect();
    // After the cursors: a span that ends meanwhile is found none the less.
    let cursors: Vec<(InstallationId, Seq)> = views.iter().map(|view| (view.id(), view.settled)).collect();
    let mut spans = spans::beyond(connection, &cursors).await?;
    for view in &mut views {
        view.spans = spans.remove(&view.id()).unwrap_or_default();
    }
    Ok(views)
}

/// Of each installation its cursor, and whether retries wait for it.
pub(crate) fn progress_of(ids: &[InstallationId], backend: DbBackend) -> Vec<Statement> {
    let head = "SELECT v.column1 AS id, (SELECT c.settled_seq FROM ext_delivery_cursor c \
                WHERE c.installation_id = v.column1) AS settled_seq, EXISTS (SELECT 1 FROM ext_delivery_retry r \
                WHERE r.installation_id = v.column1 AND r.kind IN ('LIVE', 'REPLAY')) AS has_retries FROM (VALUES";
    rows_of(ids, backend, head, ") AS v", |id| vec![id.uuid().into()])
}

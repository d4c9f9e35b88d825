//! Reads of the extensions installed in a workspace. They are changed through the router, because each
//! change has its place in the workspace's commit order.

use entity::ext_installation::{Column, Entity};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

use pointsman_domain::{
    id::{InstallationId, WorkspaceId},
    installation::Installation,
};

fn installed_in(workspace: WorkspaceId) -> Select<Entity> {
    Entity::find()
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .filter(Column::UninstalledAt.is_null())
}

/// The installed extensions, newest first, at most `limit` of those before `before`.
///
/// # Errors
/// When the database fails.
pub async fn page(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    before: Option<InstallationId>,
    limit: u64,
) -> Result<Vec<Installation>, DbErr> {
    let mut query = installed_in(workspace);
    if let Some(before) = before {
        query = query.filter(Column::Id.lt(before.uuid()));
    }
    let rows = query.order_by_desc(Column::Id).limit(limit).all(conn).await?;
    Ok(rows.into_iter().map(Installation::from).collect())
}

/// An installed extension; nothing where it is uninstalled or belongs to another workspace.
///
/// # Errors
/// When the database fails.
pub async fn find(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    id: InstallationId,
) -> Result<Option<Installation>, DbErr> {
    let row = installed_in(workspace)
        .filter(Column::Id.eq(id.uuid()))
        .one(conn)
        .await?;
    Ok(row.map(Installation::from))
}

/// The installed extension with this key.
///
/// # Errors
/// When the database fails.
pub async fn find_by_key(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
    key: &str,
) -> Result<Option<Installation>, DbErr> {
    let row = installed_in(workspace)
        .filter(Column::Key.eq(key))
        .one(conn)
        .await?;
    Ok(row.map(Installation::from))
}

/// Every installation the workspace ever had, the uninstalled ones too, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn all_ever(
    conn: &impl ConnectionTrait,
    workspace: WorkspaceId,
) -> Result<Vec<Installation>, DbErr> {
    let rows = Entity::find()
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .order_by_asc(Column::Id)
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(Installation::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Fixture;

    #[tokio::test]
    async fn an_installation_is_found_only_in_its_own_workspace_and_while_it_is_installed() {
        let db = Fixture::new().await;
        let (ours, theirs) = (db.workspace(), db.workspace());
        let crm = db.install(ours, "crm").await;
        let gone = db.install(ours, "gone").await;
        db.uninstall(gone, 3).await;

        assert!(find(&db.conn, ours, crm).await.unwrap().is_some());
        assert!(find(&db.conn, theirs, crm).await.unwrap().is_none());
        assert!(find(&db.conn, ours, gone).await.unwrap().is_none());
        let listed = page(&db.conn, ours, None, 10).await.unwrap();
        assert_eq!(listed.iter().map(|i| i.id).collect::<Vec<_>>(), [crm]);
        assert_eq!(all_ever(&db.conn, ours).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn pages_go_from_the_newest_to_the_oldest_without_gap() {
        let db = Fixture::new().await;
        let ours = db.workspace();
        let a = db.install(ours, "a").await;
        let b = db.install(ours, "b").await;
        let c = db.install(ours, "c").await;

        let first = page(&db.conn, ours, None, 2).await.unwrap();
        let second = page(&db.conn, ours, Some(first[1].id), 2).await.unwrap();
        let ids: Vec<_> = first.iter().chain(&second).map(|i| i.id).collect();
        assert_eq!(ids, [c, b, a]);
    }
}

//! Workspaces.

pub use entity::workspace::Model;
use entity::{
    workspace::{ActiveModel, Column, Entity},
    workspace_member,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, Select,
};

use pointsman_domain::{
    id::{UserId, WorkspaceId},
    timestamp::Timestamp,
};

pub async fn insert(
    db: &impl ConnectionTrait,
    id: WorkspaceId,
    name: &str,
    created_at: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(id.uuid()),
        name: Set(name.to_owned()),
        created_at: Set(created_at.millis()),
    };
    Entity::insert(row).exec_without_returning(db).await.map(drop)
}

pub async fn find(db: &impl ConnectionTrait, id: WorkspaceId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).one(db).await
}

/// The oldest workspace with this name: names are for people and need not differ.
pub async fn find_by_name_across_workspaces(
    db: &impl ConnectionTrait,
    name: &str,
) -> Result<Option<WorkspaceId>, DbErr> {
    let found = Entity::find()
        .filter(Column::Name.eq(name))
        .order_by_asc(Column::Id)
        .one(db)
        .await?;
    Ok(found.map(|row| WorkspaceId::new(row.id)))
}

/// Newest first: ids are UUID v7. `after` is the last id of the page before.
pub async fn list_across_workspaces(
    db: &impl ConnectionTrait,
    after: Option<WorkspaceId>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    page(after, limit).all(db).await
}

/// The workspaces of which the user is a member, ordered as in [`list_across_workspaces`].
pub async fn list_of_member(
    db: &impl ConnectionTrait,
    user: UserId,
    after: Option<WorkspaceId>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let theirs = workspace_member::Entity::find()
        .select_only()
        .column(workspace_member::Column::WorkspaceId)
        .filter(workspace_member::Column::UserId.eq(user.uuid()))
        .into_query();
    page(after, limit)
        .filter(Column::Id.in_subquery(theirs))
        .all(db)
        .await
}

fn page(after: Option<WorkspaceId>, limit: u64) -> Select<Entity> {
    let query = Entity::find().order_by_desc(Column::Id).limit(limit);
    match after {
        Some(after) => query.filter(Column::Id.lt(after.uuid())),
        None => query,
    }
}

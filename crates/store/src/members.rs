//! Members of workspaces.

use entity::{
    workspace,
    workspace_member::{ActiveModel, Column, Entity, Model},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, sea_query::OnConflict,
};

use pointsman_domain::{
    id::{UserId, WorkspaceId},
    role::WorkspaceRole,
    timestamp::Timestamp,
};

/// The member, of a workspace that is not deleted.
///
/// # Errors
/// When the database fails.
pub async fn find(
    db: &impl ConnectionTrait,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<Option<Model>, DbErr> {
    let known = workspace::Entity::find_by_id(workspace.uuid())
        .select_only()
        .column(workspace::Column::Id)
        .into_query();
    Entity::find_by_id((workspace.uuid(), user.uuid()))
        .filter(Column::WorkspaceId.in_subquery(known))
        .one(db)
        .await
}

/// The newest members first. `after` is the time of joining and the id of the last member of the page before.
pub async fn list(
    db: &impl ConnectionTrait,
    workspace: WorkspaceId,
    after: Option<(Timestamp, UserId)>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find()
        .filter(Column::WorkspaceId.eq(workspace.uuid()))
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::UserId)
        .limit(limit);
    if let Some((joined_at, user)) = after {
        let same_time = Condition::all()
            .add(Column::CreatedAt.eq(joined_at.millis()))
            .add(Column::UserId.lt(user.uuid()));
        query = query.filter(
            Condition::any()
                .add(Column::CreatedAt.lt(joined_at.millis()))
                .add(same_time),
        );
    }
    query.all(db).await
}

/// Makes the user a member, or gives a member another role; the time of joining stays.
pub async fn put(
    db: &impl ConnectionTrait,
    workspace: WorkspaceId,
    user: UserId,
    role: WorkspaceRole,
    now: Timestamp,
) -> Result<(), DbErr> {
    let row = ActiveModel {
        workspace_id: Set(workspace.uuid()),
        user_id: Set(user.uuid()),
        role: Set(role.as_str().to_owned()),
        created_at: Set(now.millis()),
    };
    let there_already = OnConflict::columns([Column::WorkspaceId, Column::UserId])
        .update_column(Column::Role)
        .to_owned();
    Entity::insert(row)
        .on_conflict(there_already)
        .exec_without_returning(db)
        .await
        .map(drop)
}

/// Whether the user was a member.
pub async fn remove(db: &impl ConnectionTrait, workspace: WorkspaceId, user: UserId) -> Result<bool, DbErr> {
    let done = Entity::delete_by_id((workspace.uuid(), user.uuid()))
        .exec(db)
        .await?;
    Ok(done.rows_affected > 0)
}

//! Users.

pub use entity::platform_user::Model;
use entity::platform_user::{ActiveModel, Column, Entity};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use pointsman_domain::{id::UserId, role::GlobalRole, timestamp::Timestamp};

/// A user to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    pub id: UserId,
    /// Lower case.
    pub email: String,
    /// A PHC string.
    pub password_hash: String,
    pub role: GlobalRole,
    pub created_at: Timestamp,
}

/// # Errors
/// A unique violation when the address is taken.
pub async fn insert(db: &impl ConnectionTrait, user: NewUser) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(user.id.uuid()),
        email: Set(user.email),
        password_hash: Set(user.password_hash),
        role: Set(user.role.as_str().to_owned()),
        created_at: Set(user.created_at.millis()),
    };
    Entity::insert(row).exec_without_returning(db).await.map(drop)
}

pub async fn find(db: &impl ConnectionTrait, id: UserId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.uuid()).one(db).await
}

/// `email` in lower case.
pub async fn find_by_email(db: &impl ConnectionTrait, email: &str) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::Email.eq(email)).one(db).await
}

/// The given users, as far as they exist, in no order.
pub async fn find_many(
    db: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = UserId>,
) -> Result<Vec<Model>, DbErr> {
    let ids = ids.into_iter().map(UserId::uuid);
    Entity::find().filter(Column::Id.is_in(ids)).all(db).await
}

/// Newest first: ids are UUID v7. `after` is the last id of the page before.
pub async fn list(db: &impl ConnectionTrait, after: Option<UserId>, limit: u64) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find().order_by_desc(Column::Id).limit(limit);
    if let Some(after) = after {
        query = query.filter(Column::Id.lt(after.uuid()));
    }
    query.all(db).await
}

/// Whether there is any user.
pub async fn any(db: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(Entity::find().limit(1).one(db).await?.is_some())
}

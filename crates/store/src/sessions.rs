//! Sessions of signed-in browsers. A session's id is the hash of its key.

use entity::user_session::{ActiveModel, Column, Entity, Model};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use pointsman_domain::{id::UserId, timestamp::Timestamp};

/// A session to be made.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub id: String,
    pub user_id: Option<UserId>,
    /// A JSON object.
    pub state: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

pub async fn insert(db: &impl ConnectionTrait, session: NewSession) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(session.id),
        user_id: Set(session.user_id.map(UserId::uuid)),
        state: Set(session.state),
        created_at: Set(session.created_at.millis()),
        expires_at: Set(session.expires_at.millis()),
    };
    Entity::insert(row).exec_without_returning(db).await.map(drop)
}

/// The session, unless it has expired.
pub async fn find(db: &impl ConnectionTrait, id: &str, now: Timestamp) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id)
        .filter(Column::ExpiresAt.gt(now.millis()))
        .one(db)
        .await
}

/// Whether there was such a session.
pub async fn update(
    db: &impl ConnectionTrait,
    id: &str,
    state: String,
    expires_at: Timestamp,
) -> Result<bool, DbErr> {
    let done = Entity::update_many()
        .set(ActiveModel {
            state: Set(state),
            expires_at: Set(expires_at.millis()),
            ..Default::default()
        })
        .filter(Column::Id.eq(id))
        .exec(db)
        .await?;
    Ok(done.rows_affected > 0)
}

/// The session ends at `expires_at` instead.
pub async fn extend(db: &impl ConnectionTrait, id: &str, expires_at: Timestamp) -> Result<(), DbErr> {
    Entity::update_many()
        .set(ActiveModel {
            expires_at: Set(expires_at.millis()),
            ..Default::default()
        })
        .filter(Column::Id.eq(id))
        .exec(db)
        .await
        .map(drop)
}

/// Deleting what is not there is no error.
pub async fn delete(db: &impl ConnectionTrait, id: &str) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(db).await.map(drop)
}

//! A user, as the API shows it.

use pointsman_domain::{id::UserId, timestamp::Timestamp};
use pointsman_store as store;
use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserDto {
    pub(super) id: UserId,
    pub(super) email: String,
    /// `ADMIN` or `USER`.
    pub(super) role: String,
    pub(super) created_at: Timestamp,
}

impl From<store::users::Model> for UserDto {
    fn from(user: store::users::Model) -> Self {
        Self {
            id: UserId::new(user.id),
            email: user.email,
            role: user.role,
            created_at: Timestamp::from_millis(user.created_at),
        }
    }
}

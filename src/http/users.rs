//! Users, for global admins.

mod create;
mod list;

use actix_web::web;
use serde::Serialize;

use pointsman_domain::{id::UserId, timestamp::Timestamp};
use pointsman_store as store;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/api/users")
            .route(web::post().to(create::create))
            .route(web::get().to(list::list)),
    );
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UserDto {
    id: UserId,
    email: String,
    /// `ADMIN` or `USER`.
    role: String,
    created_at: Timestamp,
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

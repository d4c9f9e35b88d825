//! Users, for global admins.

mod create;
mod dto;
mod list;

use actix_web::web;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/api/users")
            .route(web::post().to(create::create))
            .route(web::get().to(list::list)),
    );
}

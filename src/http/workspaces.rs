//! Workspaces: global admins make them, see all and delete them, members see theirs.

mod create;
mod delete;
mod dto;
mod get;
mod list;

use actix_web::web;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/api/workspaces")
                .route(web::post().to(create::create))
                .route(web::get().to(list::list)),
        )
        .service(
            web::resource("/api/workspaces/{workspaceId}")
                .route(web::get().to(get::get))
                .route(web::delete().to(delete::delete)),
        );
}

//! The channels of a workspace, as the built-in chat extension keeps them.

mod dto;
mod list;
mod messages;
mod post;

use actix_web::web;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/api/workspaces/{workspaceId}/channels").route(web::get().to(list::list)))
        .service(
            web::resource("/api/workspaces/{workspaceId}/channels/{channel}/messages")
                .route(web::get().to(messages::messages))
                .route(web::post().to(post::post)),
        );
}

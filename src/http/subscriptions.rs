//! What an extension subscribes to, for the admins of its workspace.

mod create;
mod dto;
mod list;
mod remove;

use actix_web::web;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/api/workspaces/{workspaceId}/extensions/{extensionId}/subscriptions")
                .route(web::post().to(create::create))
                .route(web::get().to(list::list)),
        )
        .service(
            web::resource(
                "/api/workspaces/{workspaceId}/extensions/{extensionId}/subscriptions/{subscriptionId}",
            )
            .route(web::delete().to(remove::remove)),
        );
}

//! Members of a workspace, for its admins.

mod list;
mod put;
mod remove;

use actix_web::web;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/api/workspaces/{workspaceId}/members").route(web::get().to(list::list)))
        .service(
            web::resource("/api/workspaces/{workspaceId}/members/{userId}")
                .route(web::put().to(put::put))
                .route(web::delete().to(remove::remove)),
        );
}

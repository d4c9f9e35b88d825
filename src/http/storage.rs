//! What the database holds and what was deleted from it, for global admins.

mod get;
mod workspaces;

use actix_web::web;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/api/storage").route(web::get().to(get::get)))
        .service(web::resource("/api/storage/workspaces").route(web::get().to(workspaces::list)));
}

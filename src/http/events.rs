//! Events of a workspace, for its members.

mod dto;
mod erase;
mod filter;
mod get;
mod idempotency;
mod list;
mod publish;
mod publish_body;
mod traceparent;

use actix_web::{guard, web};

use super::known_caller;

/// Must be configured before all other routes: they are tried in order, and this one must be found fast.
pub(super) fn publish_route(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/api/workspaces/{workspaceId}/events/publish").route(web::post().to(publish::publish)),
    );
}

/// The same route for callers whose cookie is known. It stands outside of the session middleware and before it.
pub(super) fn publish_route_of_known_callers(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/api/workspaces/{workspaceId}/events/publish")
            .guard(guard::Post())
            .guard(guard::fn_guard(known_caller::is_known))
            .route(web::post().to(publish::publish)),
    );
}

/// Must be configured after [`super::dead_letters::routes`]: `/events/dead-letters` is not the event with
/// that id.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/api/workspaces/{workspaceId}/events").route(web::get().to(list::list)))
        .service(
            web::resource("/api/workspaces/{workspaceId}/events/{eventId}").route(web::get().to(get::get)),
        )
        .service(
            web::resource("/api/workspaces/{workspaceId}/events/{eventId}/erase")
                .route(web::post().to(erase::erase)),
        );
}

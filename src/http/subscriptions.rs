//! What an extension subscribes to, for the admins of its workspace.

mod create;
mod list;
mod remove;

use actix_web::web;
use serde::Serialize;

use pointsman_domain::{id::SubscriptionId, timestamp::Timestamp};
use pointsman_store::subscriptions::Subscription;

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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionDto {
    id: SubscriptionId,
    /// Exact, or a pattern.
    event_key: String,
    created_at: Timestamp,
}

impl From<Subscription> for SubscriptionDto {
    fn from(subscription: Subscription) -> Self {
        Self {
            id: subscription.id,
            event_key: subscription.pattern.as_str().to_owned(),
            created_at: subscription.created_at,
        }
    }
}

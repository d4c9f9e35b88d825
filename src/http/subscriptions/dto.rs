//! A subscription, as the API shows it.

use pointsman_domain::{id::SubscriptionId, timestamp::Timestamp};
use pointsman_store::subscriptions::Subscription;
use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubscriptionDto {
    pub(super) id: SubscriptionId,
    /// Exact, or a pattern.
    pub(super) event_key: String,
    pub(super) created_at: Timestamp,
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

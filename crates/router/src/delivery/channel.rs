//! How attempts are made, which is all that distinguishes the delivery types.

use std::{sync::Arc, time::Duration};

use crate::{settings::RouterSettings, shared::Shared};
use pointsman_domain::{
    attempt::AttemptResult, event::PlatformEvent, handler_name::HandlerName, installation::InstallationView,
    lane::Delivery, timestamp::Timestamp,
};

/// How the deliveries of one installation are attempted.
///
/// The futures run beside the actor and borrow nothing of it. A failure of an attempt is its result. An attempt that
/// panics is reported as failed, without a reason.
pub trait DeliveryChannel: Sized + Unpin + 'static {
    fn new(shared: &Arc<Shared>, view: &Arc<InstallationView>) -> Self;

    /// The installation was changed. The change holds from the next attempt.
    fn view_changed(&mut self, view: &Arc<InstallationView>);

    /// Failures in a row that open the lane's breaker; none where it has no breaker.
    fn breaker_failures(settings: &RouterSettings) -> Option<u32>;

    /// The longest time that any attempt takes.
    fn attempt_timeout(settings: &RouterSettings) -> Duration;

    /// The handlers of an event, at least one, with the longest time that an attempt of each takes.
    fn handlers_of(&self, event: &PlatformEvent) -> impl Iterator<Item = (HandlerName, Duration)>;

    /// One attempt of the lane; it ends when the future is dropped. `generation` is the lane's licence to
    /// settle.
    fn attempt(&mut self, delivery: &Delivery, generation: i64)
    -> impl Future<Output = AttemptEnd> + 'static;

    /// One attempt outside the lane. Nothing of it is recorded.
    fn test(&self, event: PlatformEvent) -> impl Future<Output = AttemptResult> + 'static;
}

/// The end of an attempt.
#[derive(Debug)]
pub struct AttemptEnd {
    /// When it began, by the wall clock. The lane may have asked for it earlier.
    pub(crate) attempted_at: Timestamp,
    pub(crate) result: AttemptResult,
}

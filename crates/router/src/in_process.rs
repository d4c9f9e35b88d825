//! Deliveries to handlers in this process: the threads on which handlers run, and the result of an attempt.

mod channel;
mod effect;
mod executor;
mod invocation;
mod publisher;

use self::channel::InProcessChannel;
pub(crate) use self::executor::EventExecutor;
use super::delivery::DeliveryActor;
use pointsman_panics as panics;

/// The actor of one in-process installation.
pub type InProcessHandlerActor = DeliveryActor<InProcessChannel>;

/// Prepares for panics of handlers. Call it before the first handler runs.
pub(super) fn prepare() {
    panics::listen();
}

#[cfg(test)]
mod tests;

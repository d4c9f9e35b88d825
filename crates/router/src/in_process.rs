//! Deliveries to handlers in this process: on which threads they run, and what comes of an attempt.

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

/// To be called before the first handler runs.
pub(super) fn prepare() {
    panics::listen();
}

#[cfg(test)]
mod tests;

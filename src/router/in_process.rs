//! Deliveries to handlers in this process: on which threads they run, and what comes of an attempt.

mod effect;
mod executor;
mod invocation;
mod means;
mod publisher;

pub(super) use self::{executor::EventExecutor, means::InProcessMeans};
use super::delivery::DeliveryActor;
use pointsman_panics as panics;

/// The actor of one in-process installation.
pub(super) type InProcessHandlerActor = DeliveryActor<InProcessMeans>;

/// To be called before the first handler runs.
pub(super) fn prepare() {
    panics::listen();
}

#[cfg(test)]
mod tests;

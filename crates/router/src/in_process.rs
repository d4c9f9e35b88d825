//! Deliveries to handlers in this process: on which threads they run, and what comes of an attempt.

mod effect;
mod executor;
mod invocation;
mod means;
mod publisher;

pub(crate) use self::executor::EventExecutor;
use self::means::InProcessMeans;
use super::delivery::DeliveryActor;
use pointsman_panics as panics;

/// The actor of one in-process installation.
pub type InProcessHandlerActor = DeliveryActor<InProcessMeans>;

/// To be called before the first handler runs.
pub(super) fn prepare() {
    panics::listen();
}

#[cfg(test)]
mod tests;

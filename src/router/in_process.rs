//! Deliveries to handlers in this process: on which threads they run, and what comes of an attempt.

mod executor;
mod panics;

pub(super) use self::executor::EventExecutor;

#[cfg(test)]
mod tests;

//! Publishers that cost little, since they share the machine with what they measure: one thread, connections that
//! are kept, requests that are made beforehand.

mod closed;
mod connection;
mod open;
mod overload;

pub(crate) use self::{
    closed::{ClosedLoop, Running},
    open::OpenLoop,
    overload::{Answers, Overload},
};

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;

/// Runs the load on a thread of its own.
fn on_a_thread<T, F>(
    name: &str,
    load: impl FnOnce() -> F + Send + 'static,
) -> Result<oneshot::Receiver<Result<T>>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let local = tokio::task::LocalSet::new();
        // Nobody may be waiting any more.
        let _ = done.send(local.block_on(&runtime, load()));
    })?;
    Ok(ended)
}

async fn end_of<T>(ended: oneshot::Receiver<Result<T>>) -> Result<T> {
    ended.await.context("the load has panicked")?
}

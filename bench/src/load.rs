//! Publishers. They cost little CPU time, because they share the machine with the server: each load has one thread,
//! keeps its connections open, and sends requests that are made beforehand.

mod closed;
mod connection;
mod open;
mod overload;

pub(crate) use self::{
    closed::{ClosedLoop, RunningLoad},
    open::OpenLoop,
    overload::{Overload, OverloadAnswers},
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
        // The receiver is gone if the run was given up.
        let _ = done.send(local.block_on(&runtime, load()));
    })?;
    Ok(ended)
}

async fn end_of<T>(ended: oneshot::Receiver<Result<T>>) -> Result<T> {
    ended.await.context("the load has panicked")?
}

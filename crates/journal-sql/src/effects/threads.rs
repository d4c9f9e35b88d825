//! The thread that the work of effects runs on. The work is code of extension authors, which must not block the writer.

use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

type Task = BoxFuture<'static, ()>;

/// One thread at a time. A thread whose work does not end is abandoned, and a new one replaces it.
#[derive(Debug, Default)]
pub(crate) struct EffectThread {
    tasks: Mutex<Option<mpsc::UnboundedSender<Task>>>,
}

impl EffectThread {
    /// Starts the task, on a new thread where the last one was abandoned. One task runs at a time.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub(super) fn start(&self, task: Task) -> std::io::Result<()> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let task = match &*tasks {
            // It fails when the task before it ended its thread.
            Some(thread) => match thread.send(task) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::SendError(task)) => task,
            },
            None => task,
        };
        let (thread, queue) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name("effects".to_owned())
            .spawn(move || run(queue))?;
        // Cannot fail: the thread has just been started.
        let _ = thread.send(task);
        *tasks = Some(thread);
        Ok(())
    }

    /// Abandons a thread whose work does not end. It ends when the work does.
    pub(super) fn abandon(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn run(mut tasks: mpsc::UnboundedReceiver<Task>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(async {
            while let Some(task) = tasks.recv().await {
                task.await;
            }
        }),
        Err(error) => log::error!(error:%; "there is no thread for effects"),
    }
}

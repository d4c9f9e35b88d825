//! The thread that the work of effects runs on: code of authors, which must not be able to stop the writer.

use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

type Task = BoxFuture<'static, ()>;

/// One thread at a time. One that does not come back from its work is left behind, and the next takes over.
#[derive(Debug, Default)]
pub(crate) struct EffectThread {
    tasks: Mutex<Option<mpsc::UnboundedSender<Task>>>,
}

impl EffectThread {
    /// Starts the task, on a thread of its own where the last was left behind. There is one at a time.
    ///
    /// # Errors
    /// Where the system has no thread for it.
    pub(super) fn start(&self, task: Task) -> std::io::Result<()> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let task = match &*tasks {
            // It fails where the task before it took its thread along.
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
        // It has just been started.
        let _ = thread.send(task);
        *tasks = Some(thread);
        Ok(())
    }

    /// Lets go of a thread that does not come back. It ends when it does.
    pub(super) fn leave(&self) {
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

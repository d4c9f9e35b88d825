//! An attempt that runs.

/// The task of an attempt; it ends when this is dropped.
pub(super) struct RunningAttempt(pub(super) tokio::task::JoinHandle<()>);

impl Drop for RunningAttempt {
    fn drop(&mut self) {
        self.0.abort();
    }
}

//! Hands pieces of what retention deletes to the writer.

use tokio::sync::{mpsc, oneshot};

use crate::{
    change::Change,
    command::{Job, WriterCommand},
    errors::{ChangeError, StorageUnavailable},
    prune::{Deleted, Piece},
};

/// Sends pieces to the writer, without keeping it running.
#[derive(Clone, Debug)]
pub struct Pruner {
    commands: mpsc::WeakUnboundedSender<WriterCommand>,
}

impl Pruner {
    pub(crate) const fn new(commands: mpsc::WeakUnboundedSender<WriterCommand>) -> Self {
        Self { commands }
    }

    /// Has the writer delete the piece, between two batches.
    ///
    /// # Errors
    /// While there is no database, where it refuses, and when the writer has ended. The piece may be deleted all the
    /// same.
    pub async fn prune(&self, piece: Piece) -> Result<Deleted, StorageUnavailable> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.upgrade().ok_or(StorageUnavailable)?;
        let job = WriterCommand::Job(Job::Prune { piece, reply });
        commands.send(job).map_err(|_| StorageUnavailable)?;
        // Dropped before the wait, so that the writer ends once all other handles are gone.
        drop(commands);
        answer.await.unwrap_or(Err(StorageUnavailable))
    }

    /// Has the writer make the change. That there is nothing to be changed any more is no error.
    pub(crate) async fn change(&self, change: Change) -> Result<(), StorageUnavailable> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.upgrade().ok_or(StorageUnavailable)?;
        let job = WriterCommand::Job(Job::Change { change, reply });
        commands.send(job).map_err(|_| StorageUnavailable)?;
        drop(commands);
        match answer.await {
            Ok(Ok(()) | Err(ChangeError::NotFound(_))) => Ok(()),
            _ => Err(StorageUnavailable),
        }
    }
}

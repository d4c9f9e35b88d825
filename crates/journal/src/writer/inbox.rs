//! The commands that the writer receives, and the request to stop.

use tokio::sync::{mpsc, oneshot};

use crate::command::WriterCommand;

pub(super) struct Inbox {
    commands: mpsc::UnboundedReceiver<WriterCommand>,
    /// The request to stop. It is answered once everything that came before it is committed.
    stop: Option<oneshot::Sender<()>>,
}

impl Inbox {
    pub(super) const fn new(commands: mpsc::UnboundedReceiver<WriterCommand>) -> Self {
        Self { commands, stop: None }
    }

    /// Waits for the next command. None when no handle of the journal is left. Cancelling it loses no command.
    pub(super) async fn receive(&mut self) -> Option<WriterCommand> {
        self.commands.recv().await
    }

    /// The next command that has arrived already.
    pub(super) fn received(&mut self) -> Option<WriterCommand> {
        self.commands.try_recv().ok()
    }

    pub(super) fn request_stop(&mut self, reply: oneshot::Sender<()>) {
        self.stop = Some(reply);
    }

    /// Whether the journal was told to stop.
    pub(super) const fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    pub(super) fn take_stop(&mut self) -> Option<oneshot::Sender<()>> {
        self.stop.take()
    }
}

//! Messages that must not be lost with the actor that they were sent to.

use tokio::sync::oneshot;

/// A value on its way to an actor. It comes back to its sender where the actor ends before it has taken it: the value
/// was not touched then, and can be sent to a successor.
#[derive(Debug)]
pub(crate) struct Handover<T>(Option<(T, oneshot::Sender<T>)>);

/// Tells the sender what has become of a [`Handover`].
#[derive(Debug)]
pub(crate) struct Handed<T>(oneshot::Receiver<T>);

impl<T> Handover<T> {
    pub(crate) fn new(value: T) -> (Self, Handed<T>) {
        let (back, returned) = oneshot::channel();
        (Self(Some((value, back))), Handed(returned))
    }

    /// The value, which is the actor's from now on.
    pub(crate) fn take(mut self) -> T {
        let (value, _) = self.0.take().expect("only this and the drop take it, each once");
        value
    }
}

impl<T> Drop for Handover<T> {
    /// Runs while a panic unwinds, too: nothing here can panic.
    fn drop(&mut self) {
        if let Some((value, back)) = self.0.take() {
            // The sender may have gone, and does not want it back then.
            let _ = back.send(value);
        }
    }
}

impl<T> Handed<T> {
    /// Returns when the actor has taken the value.
    ///
    /// # Errors
    /// The value, where the actor has ended before.
    pub(crate) async fn taken(self) -> Result<(), T> {
        match self.0.await {
            Ok(value) => Err(value),
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_does_not_come_back() {
        let (handover, handed) = Handover::new(7);
        assert_eq!(handover.take(), 7);
        assert_eq!(handed.taken().await, Ok(()));
    }

    #[tokio::test]
    async fn what_is_dropped_comes_back() {
        let (handover, handed) = Handover::new(7);
        drop(handover);
        assert_eq!(handed.taken().await, Err(7));
    }
}

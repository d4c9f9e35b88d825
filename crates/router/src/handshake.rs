//! How a parent learns that its child stopped before it had handled everything that it was sent.
//!
//! A child that stops because it has nothing to do says how many messages of its parent it has handled. Where the
//! parent has sent more, the rest is lost with the child's mailbox, and a successor has work.

/// The parent's side: the messages that it has sent to one child.
#[derive(Debug, Default)]
pub(crate) struct MessagesSent(u64);

/// The child's side: the messages of its parent that it has handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MessagesHandled(u64);

impl MessagesSent {
    /// Counts one more message. Call it for each message that the child counts.
    pub(crate) const fn count(&mut self) {
        self.0 += 1;
    }

    /// Whether the child has handled every message that it was sent.
    pub(crate) const fn are_all_handled(&self, handled: MessagesHandled) -> bool {
        self.0 == handled.0
    }
}

impl MessagesHandled {
    /// Counts one more message.
    pub(crate) const fn count(&mut self) {
        self.0 += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_sent_and_not_handled_is_noticed() {
        let (mut sent, mut handled) = (MessagesSent::default(), MessagesHandled::default());
        assert!(sent.are_all_handled(handled));
        sent.count();
        sent.count();
        handled.count();
        assert!(!sent.are_all_handled(handled));
        handled.count();
        assert!(sent.are_all_handled(handled));
    }
}

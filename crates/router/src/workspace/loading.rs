//! Whether the installations of a workspace are read, and who waits until they are.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::mail::workspace::{FindChild, Found};
use pointsman_domain::event::PlatformEvent;

/// Until the installations are read, notices are kept but nothing is delivered.
#[derive(Default)]
pub(super) struct Loading {
    is_loaded: bool,
    /// A read is on its way.
    is_reading: bool,
    /// Another read was asked for since that one began.
    read_again: bool,
    /// Who asked for an actor before the installations were read; bounded by the requests of admins.
    finds: Vec<(FindChild, oneshot::Sender<Found>)>,
    /// Who waits for the lanes to be attached: the waker alone.
    starts: Vec<oneshot::Sender<()>>,
    /// Events whose publishers wait, as long as it is not known for which handlers.
    undecided: Vec<Arc<PlatformEvent>>,
}

/// What follows the end of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterRead {
    /// Take what was read: the installations are loaded.
    Take,
    /// Read once more at once: what was read may lack what the other read was asked for.
    ReadAgain,
    /// There is no database. Read once more after a pause.
    ReadLater,
}

impl Loading {
    /// Begins a read; false where one is on its way, after which there will be another.
    pub(super) const fn begin(&mut self) -> bool {
        if self.is_reading {
            self.read_again = true;
            return false;
        }
        self.is_reading = true;
        true
    }

    /// The read has ended, well or not.
    pub(super) fn ended(&mut self, is_read: bool) -> AfterRead {
        self.is_reading = false;
        let read_again = std::mem::take(&mut self.read_again);
        match (is_read, read_again) {
            (false, _) => AfterRead::ReadLater,
            (true, true) => AfterRead::ReadAgain,
            (true, false) => {
                self.is_loaded = true;
                AfterRead::Take
            }
        }
    }

    /// What is known of the installations may be out of date: they have to be read again.
    pub(super) const fn distrust(&mut self) {
        self.is_loaded = false;
    }

    pub(super) const fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Whether all is read and nobody waits.
    pub(super) fn is_settled(&self) -> bool {
        self.is_loaded && !self.is_reading && self.finds.is_empty() && self.starts.is_empty()
    }

    /// Keeps the question until the installations are read.
    pub(super) fn keep_find(&mut self, find: FindChild) -> oneshot::Receiver<Found> {
        let (reply, found) = oneshot::channel();
        self.finds.push((find, reply));
        found
    }

    /// The questions that were kept.
    pub(super) fn take_finds(&mut self) -> Vec<(FindChild, oneshot::Sender<Found>)> {
        std::mem::take(&mut self.finds)
    }

    /// Ends when the installations are read and their lanes attached.
    pub(super) fn await_start(&mut self) -> oneshot::Receiver<()> {
        let (reply, started) = oneshot::channel();
        self.starts.push(reply);
        started
    }

    /// Answers those who wait for the lanes, if the installations are read and the lanes attached.
    pub(super) fn answer_starts(&mut self, are_attached: impl FnOnce() -> bool) {
        if self.starts.is_empty() || !self.is_loaded || !are_attached() {
            return;
        }
        for reply in self.starts.drain(..) {
            // Who asked may have gone.
            let _ = reply.send(());
        }
    }

    /// Keeps the events whose publishers wait.
    pub(super) fn keep_undecided<'a>(&mut self, events: impl Iterator<Item = &'a Arc<PlatformEvent>>) {
        let awaited = events.filter(|event| event.latch.is_some());
        self.undecided.extend(awaited.cloned());
    }

    /// The events that were kept.
    pub(super) fn take_undecided(&mut self) -> Vec<Arc<PlatformEvent>> {
        std::mem::take(&mut self.undecided)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mail::workspace::Purpose, workspace::samples::id};

    #[test]
    fn a_read_that_was_asked_for_during_another_follows_it() {
        let mut loading = Loading::default();
        assert!(loading.begin());
        assert!(!loading.begin());
        assert_eq!(loading.ended(true), AfterRead::ReadAgain);
        assert!(!loading.is_loaded());
        assert!(loading.begin());
        assert_eq!(loading.ended(true), AfterRead::Take);
        assert!(loading.is_loaded());
        loading.distrust();
        assert!(!loading.is_loaded());
    }

    #[test]
    fn one_read_after_a_failure_is_enough_however_often_it_was_asked_for() {
        let mut loading = Loading::default();
        loading.begin();
        loading.begin();
        assert_eq!(loading.ended(false), AfterRead::ReadLater);
        assert!(loading.begin());
        assert_eq!(loading.ended(true), AfterRead::Take);
    }

    #[test]
    fn nothing_is_settled_while_somebody_waits() {
        let mut loading = Loading::default();
        assert!(!loading.is_settled());
        loading.begin();
        loading.ended(true);
        assert!(loading.is_settled());
        let find = FindChild {
            installation_id: id(1),
            purpose: Purpose::Look,
        };
        let _found = loading.keep_find(find);
        assert!(!loading.is_settled());
        assert_eq!(loading.take_finds().len(), 1);
        assert!(loading.is_settled());
    }

    #[test]
    fn who_waits_for_the_lanes_is_answered_when_all_is_read_and_attached() {
        let mut loading = Loading::default();
        let mut started = loading.await_start();
        loading.answer_starts(|| true);
        assert!(started.try_recv().is_err(), "the installations are not read");
        loading.begin();
        loading.ended(true);
        loading.answer_starts(|| false);
        assert!(started.try_recv().is_err(), "a lane is not attached");
        assert!(!loading.is_settled());
        loading.answer_starts(|| true);
        assert_eq!(started.try_recv(), Ok(()));
        assert!(loading.is_settled());
    }
}

//! The lanes that have read everything and wait for more.

use std::collections::{BTreeMap, HashSet};

use crate::incarnation::Incarnation;
use pointsman_domain::{id::InstallationId, seq::Seq};

/// See the [module](self).
#[derive(Default)]
pub(super) struct Readers {
    waiting: BTreeMap<InstallationId, WaitingReader>,
    /// The lanes are about to be told how far they have come past events that are not due to them.
    is_sweeping: bool,
}

/// Whom new events concern.
pub(super) enum Concerned {
    All,
    /// Only these installations, for the events after `before`.
    Since {
        before: Seq,
        installations: HashSet<InstallationId>,
    },
}

/// A lane that waits until something is due to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaitingReader {
    incarnation: Incarnation,
    asked_after: Seq,
    looked_through: Seq,
    limit: usize,
}

/// Which of the waiting lanes are to be served, in the order of their installations.
pub(super) struct ToServe {
    pub(super) behind: Vec<(InstallationId, WaitingReader)>,
    /// Whether others have come past events that are not due to them.
    pub(super) has_passed: bool,
}

impl WaitingReader {
    /// An actor asks for at most `limit` due events after `after`.
    pub(super) const fn new(incarnation: Incarnation, after: Seq, limit: usize) -> Self {
        Self {
            incarnation,
            asked_after: after,
            looked_through: after,
            limit,
        }
    }

    /// The actor that asked.
    pub(super) const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// How far the log was looked through on its behalf, without finding anything due.
    pub(super) const fn looked_through(&self) -> Seq {
        self.looked_through
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Nothing is due to it up to `through`.
    pub(super) const fn look_through(&mut self, through: Seq) {
        self.looked_through = through;
    }

    pub(super) fn has_seen(&self, head: Seq) -> bool {
        self.looked_through >= head
    }

    fn has_passed(&self) -> bool {
        self.looked_through > self.asked_after
    }

    /// How far nothing is due to a lane that is done with everything up to `done`.
    pub(super) fn looked_through_from(&self, done: Seq) -> Seq {
        if self.asked_after <= done {
            self.looked_through.max(done)
        } else {
            done
        }
    }
}

impl Readers {
    /// Keeps the lane until something is due to it. True where the lanes have to be swept because of it.
    #[must_use]
    pub(super) fn keep(&mut self, id: InstallationId, reader: WaitingReader) -> bool {
        self.waiting.insert(id, reader);
        reader.has_passed()
    }

    /// The lane does not wait any more.
    pub(super) fn forget(&mut self, id: InstallationId) -> Option<WaitingReader> {
        self.waiting.remove(&id)
    }

    /// How far the log was looked through on behalf of the installation's lane, where that waits.
    pub(super) fn looked_through(&self, id: InstallationId) -> Option<Seq> {
        self.waiting.get(&id).map(WaitingReader::looked_through)
    }

    /// Whether the installation's lane waits and has seen all up to `head`.
    pub(super) fn has_seen(&self, id: InstallationId, head: Seq) -> bool {
        self.waiting.get(&id).is_some_and(|reader| reader.has_seen(head))
    }

    /// The log has grown up to `head`: takes out the lanes that it may concern, and lets the others pass.
    pub(super) fn take_concerned(&mut self, concerned: &Concerned, head: Seq) -> ToServe {
        let (mut behind, mut has_passed) = (Vec::new(), false);
        self.waiting.retain(|id, reader| match concerned {
            _ if reader.has_seen(head) => true,
            Concerned::Since {
                before,
                installations,
            } if reader.has_seen(*before) && !installations.contains(id) => {
                reader.look_through(head);
                has_passed = true;
                true
            }
            _ => {
                behind.push((*id, *reader));
                false
            }
        });
        ToServe { behind, has_passed }
    }

    /// Whether a sweep has to be started; false while one is on its way.
    pub(super) const fn start_sweep(&mut self) -> bool {
        !std::mem::replace(&mut self.is_sweeping, true)
    }

    /// Takes out the lanes that have come past events that are not due to them, with how far they have come.
    pub(super) fn sweep(&mut self) -> Vec<(InstallationId, Seq)> {
        self.is_sweeping = false;
        let mut passed = Vec::new();
        self.waiting.retain(|id, reader| {
            if reader.has_passed() {
                passed.push((*id, reader.looked_through()));
            }
            !reader.has_passed()
        });
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{incarnation::Incarnations, workspace::samples::id};

    fn reader(after: i64) -> WaitingReader {
        WaitingReader::new(Incarnations::default().allocate(), Seq::new(after), 10)
    }

    fn since(before: i64, installations: &[u128]) -> Concerned {
        Concerned::Since {
            before: Seq::new(before),
            installations: installations.iter().copied().map(id).collect(),
        }
    }

    fn behind(readers: &mut Readers, concerned: &Concerned, head: i64) -> (Vec<InstallationId>, bool) {
        let taken = readers.take_concerned(concerned, Seq::new(head));
        let behind = taken.behind.iter().map(|(id, _)| *id);
        (behind.collect(), taken.has_passed)
    }

    #[test]
    fn those_whom_new_events_concern_are_served_and_the_others_pass_them() {
        let mut readers = Readers::default();
        for number in 1..=3 {
            assert!(!readers.keep(id(number), reader(5)));
        }
        assert_eq!(behind(&mut readers, &since(5, &[1]), 8), (vec![id(1)], true));
        assert_eq!(readers.looked_through(id(1)), None, "it does not wait any more");
        assert!(readers.has_seen(id(2), Seq::new(8)));
        assert_eq!(behind(&mut readers, &Concerned::All, 8), (vec![], false));
        assert_eq!(
            behind(&mut readers, &Concerned::All, 9),
            (vec![id(2), id(3)], false)
        );
    }

    #[test]
    fn who_has_not_come_as_far_as_the_new_events_is_served() {
        let mut readers = Readers::default();
        let _ = readers.keep(id(1), reader(4));
        assert_eq!(behind(&mut readers, &since(5, &[]), 8), (vec![id(1)], false));
    }

    #[test]
    fn a_sweep_tells_those_that_have_passed_events_once() {
        let mut readers = Readers::default();
        let mut passed = reader(5);
        passed.look_through(Seq::new(7));
        assert!(readers.keep(id(1), passed));
        assert!(!readers.keep(id(2), reader(7)));
        assert!(readers.start_sweep());
        assert!(!readers.start_sweep(), "one is on its way");
        assert_eq!(readers.sweep(), [(id(1), Seq::new(7))]);
        assert_eq!(readers.sweep(), []);
        assert!(readers.start_sweep());
        assert!(readers.forget(id(2)).is_some());
    }

    #[test]
    fn what_was_looked_through_counts_from_what_is_done() {
        let mut reader = reader(5);
        reader.look_through(Seq::new(9));
        assert_eq!(reader.looked_through_from(Seq::new(5)), Seq::new(9));
        assert_eq!(reader.looked_through_from(Seq::new(12)), Seq::new(12));
        assert_eq!(
            reader.looked_through_from(Seq::new(3)),
            Seq::new(3),
            "between 3 and 5 something is not done"
        );
    }
}

//! The actors that an installation has one after the other.

use std::fmt;

/// The number of one delivery actor among all that its WorkspaceActor has started. A message that carries it cannot be
/// mistaken for one of a predecessor or a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Incarnation(u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Numbers the delivery actors of one WorkspaceActor.
#[derive(Debug, Default)]
pub(crate) struct Incarnations(u64);

impl Incarnations {
    /// A number that no actor has had.
    pub(crate) const fn allocate(&mut self) -> Incarnation {
        self.0 += 1;
        Incarnation(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_given_once_and_later_ones_are_higher() {
        let mut incarnations = Incarnations::default();
        let (first, second) = (incarnations.allocate(), incarnations.allocate());
        assert!(first < second);
        assert_eq!((first.to_string(), second.to_string()), ("1".into(), "2".into()));
    }
}

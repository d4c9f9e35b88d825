//! Bytes that may be held at a time, over all requests.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// So many bytes; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    held: AtomicUsize,
}

/// What one holder has of the budget; it is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Inner {
            limit,
            held: AtomicUsize::new(0),
        }))
    }

    /// A share of nothing.
    pub(super) fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            bytes: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.0.held.load(Ordering::SeqCst)
    }
}

impl Share {
    /// Whether so many bytes more are within the budget. Where they are not, the share counts them all the
    /// same: it is to be dropped with what it stands for.
    #[must_use]
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let before = self.budget.0.held.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
        before + bytes <= self.budget.0.limit
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_within_the_budget_and_come_back() {
        let budget = Budget::new(10);
        let (mut first, mut second) = (budget.share(), budget.share());
        assert!(first.grow(4) && second.grow(4) && first.grow(2));
        assert!(!second.grow(1));
        drop(second);
        assert_eq!(budget.held(), 6);
        assert!(first.grow(4));
        drop(first);
        assert_eq!(budget.held(), 0);
    }
}

//! A limit on the bytes that all requests together may hold at a time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// At most `limit` bytes at a time. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct ByteBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    held: AtomicUsize,
}

/// The bytes that one holder takes from the budget; returned when dropped.
#[derive(Debug)]
pub(super) struct ByteShare {
    budget: ByteBudget,
    bytes: usize,
}

impl ByteBudget {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Inner {
            limit,
            held: AtomicUsize::new(0),
        }))
    }

    /// An empty share.
    pub(super) fn share(&self) -> ByteShare {
        ByteShare {
            budget: self.clone(),
            bytes: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.0.held.load(Ordering::SeqCst)
    }
}

impl ByteShare {
    /// Adds `bytes` to the share, and returns whether the budget still suffices. If it does not, the bytes are counted
    /// all the same: the caller must drop the share together with the bytes.
    #[must_use]
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let before = self.budget.0.held.fetch_add(bytes, Ordering::AcqRel);
        self.bytes += bytes;
        before + bytes <= self.budget.0.limit
    }
}

impl Drop for ByteShare {
    fn drop(&mut self) {
        self.budget.0.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_within_the_budget_and_come_back() {
        let budget = ByteBudget::new(10);
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

//! The one source of chance in a simulated world. What is drawn, and in which order, follows from the seed.

use std::{ops::Range, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

#[derive(Debug)]
pub(super) struct SeededRng(StdRng);

impl SeededRng {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number in the range, which must not be empty.
    pub(super) fn number(&mut self, range: Range<u64>) -> u64 {
        self.0.random_range(range)
    }

    /// True so many times in a thousand.
    pub(super) fn chance(&mut self, per_mille: u32) -> bool {
        self.0.random_range(0..1000) < per_mille
    }

    pub(super) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// One of these; none where there are none.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.0.random_range(0..of.len())])
    }

    /// The index of one of these weights, drawn in proportion to them. Their sum must not be 0.
    pub(super) fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut left = self.0.random_range(0..weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        weights.len() - 1
    }
}

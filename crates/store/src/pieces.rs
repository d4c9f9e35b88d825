//! How many rows a search looks at by one statement, so that it ends in time wherever the rows are: one that is not in
//! the memory of the machine costs thirty times as much as one that is.

use std::time::Duration;

/// The smallest piece, however little time is left.
const FEWEST: i64 = 16;

/// The sizes of the pieces of one search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PieceSizes {
    rows: i64,
    most: i64,
    /// When the last piece began.
    left_before: Option<Duration>,
}

impl PieceSizes {
    /// The first piece has so many rows; each later one at most twice as many as the one before, and `most`.
    pub(crate) const fn new(first: i64, most: i64) -> Self {
        Self {
            rows: first,
            most,
            left_before: None,
        }
    }

    /// The size of the next piece: as many rows as the time that is left is probably enough for.
    pub(crate) fn next(&mut self, left: Duration) -> i64 {
        if let Some(before) = self.left_before {
            let taken = before.saturating_sub(left).as_micros().max(1);
            let enough = left.as_micros().saturating_mul(self.rows.unsigned_abs().into()) / taken;
            let enough = i64::try_from(enough).unwrap_or(i64::MAX);
            let most = self.most.min(2 * self.rows);
            self.rows = enough.clamp(FEWEST.min(most), most);
        }
        self.left_before = Some(left);
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn pieces_grow_while_there_is_time_and_shrink_to_what_is_left_of_it() {
        let mut sizes = PieceSizes::new(500, 2_000);
        let next = [25, 24, 22, 18, 8, 1, 0].map(|left| sizes.next(millis(left)));
        assert_eq!(next, [500, 1_000, 2_000, 2_000, 1_600, 228, 16]);
        let mut sizes = PieceSizes::new(500, 2_000);
        let next = [25, 5, 4].map(|left| sizes.next(millis(left)));
        assert_eq!(next, [500, 125, 250]);
        let mut sizes = PieceSizes::new(1, 1);
        assert_eq!([sizes.next(millis(9)), sizes.next(millis(0))], [1, 1]);
        let mut sizes = PieceSizes::new(500, 2_000);
        assert_eq!(
            [sizes.next(Duration::MAX), sizes.next(Duration::MAX)],
            [500, 1_000]
        );
    }
}

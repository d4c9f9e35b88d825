//! How large the pieces are, and how long the pauses between them.

use std::time::{Duration, Instant};

use pointsman_clock::Clock;
use pointsman_journal::prune::Deleted;

/// How long a piece should hold the writer up.
const PIECE_TIME: Duration = Duration::from_millis(2);
/// A transaction has a cost of its own, over a network milliseconds: smaller pieces would be no shorter.
const FEWEST_ROWS: u64 = 100;
const MOST_ROWS: u64 = 2000;
/// The share of the writer's time that is guaranteed to deletions.
const LEAST_SHARE: f64 = 0.1;
/// The most that it becomes where less is deleted than is published.
const LARGEST_SHARE: f64 = 0.5;
/// How often the share is changed, and by which factor.
const JUDGED_EVERY: Duration = Duration::from_secs(10);
const STEP: f64 = 1.5;

#[derive(Debug)]
pub(super) struct Pace {
    rows: u64,
    share: f64,
    /// The pause that is due before the next piece.
    owed: Duration,
    owed_since: Instant,
    spent: Duration,
    window: Window,
    clock: Clock,
}

/// What was deleted and recorded since the share was judged last.
#[derive(Debug)]
struct Window {
    began: Instant,
    /// The writer's count of recorded events at the beginning; none before the first piece.
    recorded_before: Option<u64>,
    deleted: u64,
}

impl Window {
    fn new(began: Instant, recorded_before: Option<u64>) -> Self {
        Self {
            began,
            recorded_before,
            deleted: 0,
        }
    }
}

impl Pace {
    pub(super) fn new(clock: Clock) -> Self {
        let now = clock.instant();
        Self {
            rows: FEWEST_ROWS,
            share: LEAST_SHARE,
            owed: Duration::ZERO,
            owed_since: now,
            spent: Duration::ZERO,
            window: Window::new(now, None),
            clock,
        }
    }

    /// The most rows of the next piece.
    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// How long the writer was held up and has been left alone in turn.
    pub(super) const fn spent(&self) -> Duration {
        self.spent
    }

    /// How long the writer is still to be left alone.
    pub(super) fn pause(&self) -> Duration {
        self.owed.saturating_sub(self.clock.elapsed(self.owed_since))
    }

    /// A piece is deleted.
    pub(super) fn deleted(&mut self, piece: Deleted) {
        let now = self.clock.instant();
        self.owed = piece.took.mul_f64(1.0 / self.share - 1.0);
        self.owed_since = now;
        self.spent += piece.took + self.owed;
        // A small last piece says nothing about a full one.
        if piece.rows * 2 >= self.rows || piece.took > PIECE_TIME {
            let wanted = PIECE_TIME.as_secs_f64() / piece.took.as_secs_f64().max(1e-6);
            let rows = self.rows as f64 * wanted.clamp(0.5, 1.5);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a positive number of at most 3000"
            )]
            let rows = rows as u64;
            self.rows = rows.clamp(FEWEST_ROWS, MOST_ROWS);
        }
        self.judge(piece, now);
    }

    /// Deletions have to keep up with publishers: otherwise the database would grow for ever.
    fn judge(&mut self, piece: Deleted, now: Instant) {
        let Some(before) = self.window.recorded_before else {
            self.window = Window::new(now, Some(piece.recorded));
            return;
        };
        self.window.deleted += piece.rows;
        let lasted = now.saturating_duration_since(self.window.began);
        if lasted < JUDGED_EVERY {
            return;
        }
        // A window with a long pause in it is one in which there was not always something to delete.
        if lasted < 2 * JUDGED_EVERY {
            let is_behind = self.window.deleted < piece.recorded.saturating_sub(before);
            let share = if is_behind {
                self.share * STEP
            } else {
                self.share / STEP
            };
            self.share = share.clamp(LEAST_SHARE, LARGEST_SHARE);
        }
        self.window = Window::new(now, Some(piece.recorded));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use pointsman_clock::Source;
    use pointsman_domain::timestamp::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn piece(rows: u64, took: Duration, recorded: u64) -> Deleted {
        Deleted { rows, took, recorded }
    }

    #[test]
    fn pieces_grow_and_shrink_until_they_take_their_time() {
        let mut pace = Pace::new(Clock);
        for _ in 0..50 {
            let rows = pace.rows();
            pace.deleted(piece(rows, Duration::from_micros(rows * 5), 0));
        }
        assert!((300..=500).contains(&pace.rows()), "{}", pace.rows());
        for _ in 0..50 {
            let rows = pace.rows();
            pace.deleted(piece(rows, Duration::from_micros(rows * 10), 0));
        }
        assert!((150..=250).contains(&pace.rows()), "{}", pace.rows());
        for _ in 0..50 {
            pace.deleted(piece(1, millis(1), 0));
        }
        assert!((150..=250).contains(&pace.rows()), "a small piece says nothing");
        for _ in 0..50 {
            pace.deleted(piece(pace.rows(), millis(9), 0));
        }
        assert_eq!(pace.rows(), FEWEST_ROWS, "its cost does not fall with its rows");
    }

    #[test]
    fn the_writer_is_left_alone_nine_times_as_long_as_it_was_held_up() {
        let mut pace = Pace::new(Clock);
        assert_eq!(pace.pause(), Duration::ZERO);
        pace.deleted(piece(100, Duration::from_secs(100), 0));
        assert!(pace.pause() > Duration::from_secs(899));
        assert_eq!(pace.spent(), Duration::from_secs(1000));
    }

    /// A clock that stands where it is put.
    struct Standing(OnceLock<Instant>, std::sync::Mutex<Duration>);

    impl Source for Standing {
        fn now(&self) -> Timestamp {
            Timestamp::default()
        }

        fn wall(&self) -> Timestamp {
            Timestamp::default()
        }

        fn instant(&self) -> Instant {
            *self.0.get_or_init(|| Clock.instant()) + *self.1.lock().unwrap()
        }

        fn new_uuid(&self) -> Uuid {
            Uuid::nil()
        }

        fn random(&self) -> f64 {
            0.0
        }
    }

    #[test]
    fn the_share_grows_up_to_a_half_while_more_is_published_than_deleted_and_falls_back() {
        let source: &'static Standing =
            Box::leak(Box::new(Standing(OnceLock::new(), std::sync::Mutex::default())));
        let mut pace = Pace::new(Clock::over(source));
        let mut recorded = 0;
        let mut round = |published: u64, pace: &mut Pace| {
            for _ in 0..12 {
                *source.1.lock().unwrap() += Duration::from_secs(1);
                recorded += published;
                pace.deleted(piece(100, millis(1), recorded));
            }
            pace.share
        };
        assert!(round(50, &mut pace) <= LEAST_SHARE);
        let shares: Vec<f64> = (0..6).map(|_| round(200, &mut pace)).collect();
        assert!(shares.is_sorted(), "{shares:?}");
        assert_eq!(shares.last(), Some(&LARGEST_SHARE));
        let shares: Vec<f64> = (0..6).map(|_| round(0, &mut pace)).collect();
        assert_eq!(shares.last(), Some(&LEAST_SHARE), "{shares:?}");
    }
}

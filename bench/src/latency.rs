//! Latencies, and their percentiles.

use hdrhistogram::Histogram;

/// The range of latencies, in nanoseconds. Those beyond it count as its ends.
const BOUNDS: (u64, u64) = (1_000, 120_000_000_000);
const DIGITS: u8 = 3;

/// Latencies of one run.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(BOUNDS.0, BOUNDS.1, DIGITS);
        Self(histogram.expect("the bounds are in order"))
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    /// Adds the latencies of another part of the run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// A percentile in milliseconds. `percent` may have a fraction, as in 99.9.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        std::time::Duration::from_nanos(self.0.value_at_quantile(percent / 100.0)).as_secs_f64() * 1000.0
    }
}

//! Figures for a person.

use std::time::Duration;

/// Latencies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    pub(crate) fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds; 0 without any.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let Some(last) = sorted.len().checked_sub(1) else {
            return 0.0;
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank among the latencies of one run"
        )]
        let rank = (last as f64 * percent / 100.0).round() as usize;
        sorted[rank].as_secs_f64() * 1000.0
    }

    pub(crate) fn shown(&self) -> String {
        format!(
            "{:>8} {:>9.2} {:>9.2} {:>9.2}",
            self.len(),
            self.percentile(50.0),
            self.percentile(99.0),
            self.percentile(100.0)
        )
    }
}

/// The head of a table of samples.
pub(crate) const HEAD: &str = "                                        count    p50 ms    p99 ms    max ms";

pub(crate) fn row(what: &str, sample: &Sample) {
    line(&format!("{what:<36} {}", sample.shown()));
}

/// How much slower `with` is than `without`.
pub(crate) fn ratio(what: &str, without: &Sample, with: &Sample) {
    let ratio = |percent| with.percentile(percent) / without.percentile(percent).max(0.001);
    line(&format!(
        "{what:<36} {:>8} {:>9.2} {:>9.2}",
        "ratio",
        ratio(50.0),
        ratio(99.0)
    ));
}

pub(crate) fn title(text: &str) {
    line(&format!("\n== {text}"));
}

#[expect(
    clippy::print_stdout,
    reason = "the result of a trial is for the person at the terminal"
)]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

pub(crate) fn mebibytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    format!("{mebibytes:.1} MiB")
}

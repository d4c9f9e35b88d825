//! The history of a simulated world: as a hash to compare and, on demand, as lines to read.

use std::fmt::{self, Write};

use pointsman_simulated_clock::Clock;

/// How many lines are kept: the latest ones.
const MOST_LINES: usize = 20_000;

#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(super) fn new(readable: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: readable.then(Vec::new),
        }
    }

    pub(super) fn record(&mut self, what: fmt::Arguments<'_>) {
        let now = Clock.now().millis();
        // Writing to these cannot fail.
        let _ = write!(self, "{now} {what}");
        if let Some(lines) = &mut self.lines {
            if lines.len() == MOST_LINES {
                lines.drain(..MOST_LINES / 2);
            }
            lines.push(format!(
                "{:>8}.{:03} {what}",
                now / 1000 % 100_000_000,
                now % 1000
            ));
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}

impl Write for Trace {
    /// FNV-1a.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

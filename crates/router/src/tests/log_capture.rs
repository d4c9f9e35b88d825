//! The lines that this process has written to the log.

use std::sync::{Mutex, Once};

use log::kv::{Error, Key, Value, VisitSource};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Ear;

/// The pairs of a record, each after a blank.
struct Pairs(String);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0 = format!("{} {key}={value}", self.0);
        Ok(())
    }
}

impl log::Log for Ear {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut pairs = Pairs(format!("{} {}", record.level(), record.args()));
        // A pair that cannot be shown is missed by the test.
        let _ = record.key_values().visit(&mut pairs);
        LINES.lock().unwrap().push(pairs.0);
    }

    fn flush(&self) {}
}

/// Keeps errors and warnings from now on.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Ear).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
}

/// The lines with this text about this subject.
pub(super) fn lines(text: &str, subject: impl ToString) -> Vec<String> {
    let (lines, subject) = (LINES.lock().unwrap(), subject.to_string());
    let about = |line: &&String| line.contains(text) && line.contains(&subject);
    lines.iter().filter(about).cloned().collect()
}

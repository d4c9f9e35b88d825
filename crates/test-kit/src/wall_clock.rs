//! The wall clock of a server, set by its test.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pointsman_clock::Clock;

use super::settings::Settings;

/// A wall clock for a server, which gets it by [`WallClock::of`]. The monotonic clock stays the machine's.
pub struct WallClock {
    file: PathBuf,
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

impl WallClock {
    /// As the machine's.
    pub fn new() -> Self {
        let name = format!("pointsman-clock-{}", Clock.new_uuid());
        let clock = Self {
            file: std::env::temp_dir().join(name),
        };
        clock.set(0);
        clock
    }

    /// Sets the clock this many seconds ahead of the machine's, or behind it where that is negative.
    pub fn set(&self, seconds: i64) {
        // At once: the server may look at any moment.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n")).expect("a file can be made for the clock");
        fs::rename(&next, &self.file).expect("the clock's file can be replaced");
    }

    /// The settings with this clock.
    pub fn of(&self, settings: Settings) -> Settings {
        settings
            .with_variable("LD_PRELOAD", library().display())
            .with_variable("FAKETIME_TIMESTAMP_FILE", self.file.display())
            .with_variable("FAKETIME_NO_CACHE", 1)
            .with_variable("FAKETIME_DONT_FAKE_MONOTONIC", 1)
            .with_variable("NO_FAKE_STAT", 1)
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// Debian's, for programs with several threads.
fn library() -> PathBuf {
    let places = fs::read_dir("/usr/lib").expect("there is a /usr/lib");
    let places = places.filter_map(Result::ok).map(|place| place.path());
    let found = places
        .map(|place| place.join("faketime/libfaketimeMT.so.1"))
        .find(|library| Path::is_file(library));
    found.expect("libfaketime is installed: run the suite by scripts/test (Debian: apt-get install faketime)")
}

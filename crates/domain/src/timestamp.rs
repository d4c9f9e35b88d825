//! Points in time.

#![warn(missing_docs)]

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since the Unix epoch, UTC. This is how time is stored in every table (`BIGINT`), and the
/// precision that the API shows (RFC 3339 with milliseconds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every other time.
    pub const MIN: Self = Self(i64::MIN);
    /// After every other time.
    pub const MAX: Self = Self(i64::MAX);

    /// The time so many milliseconds after the Unix epoch, or before it where negative.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, as in `webhook-timestamp`.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Time elapsed since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339, UTC, with milliseconds: `2026-01-31T12:00:00.000Z`.
    pub fn to_rfc3339(self) -> String {
        DateTime::<Utc>::from_timestamp_millis(self.0)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// Reads any RFC 3339 time; finer parts than milliseconds are cut off.
    ///
    /// # Errors
    /// When the text is not RFC 3339.
    pub fn parse_rfc3339(text: &str) -> Result<Self, chrono::ParseError> {
        DateTime::parse_from_rfc3339(text).map(|time| Self(time.timestamp_millis()))
    }

    /// Reads any RFC 3339 time as an end that is not part of what it ends. A finer part than milliseconds counts as a
    /// whole one: what happened in the millisecond before it is stored with the beginning of that millisecond.
    ///
    /// # Errors
    /// When the text is not RFC 3339.
    pub fn parse_rfc3339_end(text: &str) -> Result<Self, chrono::ParseError> {
        DateTime::parse_from_rfc3339(text).map(|time| {
            let is_finer = time.timestamp_subsec_nanos() % 1_000_000 != 0;
            Self(time.timestamp_millis().saturating_add(i64::from(is_finer)))
        })
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at [`Timestamp::MAX`].
    fn add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the earliest time there is.
    fn sub(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).map_err(|_| de::Error::custom("must be an RFC 3339 time"))
    }
}

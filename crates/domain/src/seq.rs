//! The position of an event in its workspace's log.

#![warn(missing_docs)]

use std::fmt;

use serde::{Deserialize, Serialize};

/// A position in a workspace's log: gapless, increasing, the first event has 1. [`Seq::ZERO`] is before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(i64);

impl Seq {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    /// The place with this number; 1 is the first event.
    pub const fn new(value: i64) -> Self {
        Self(value)
    }

    /// Its number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The position after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position before this one.
    pub const fn prev(self) -> Self {
        Self(self.0 - 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

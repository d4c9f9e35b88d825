//! Which deliveries may have made the lane's actor panic.

use std::collections::BTreeMap;

use super::DeliveryKey;
use crate::domain::seq::Seq;

/// Handed from a lane whose actor panicked to its successor, which goes one delivery at a time until it is
/// past what was in flight, so that the next panic names its culprit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspicion {
    /// One delivery at a time up to here.
    through: Seq,
    /// Panics of which the delivery was the only one in flight.
    panics: BTreeMap<DeliveryKey, u32>,
}

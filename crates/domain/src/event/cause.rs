//! Where an event comes from: the event whose handler published it.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::id::{EventId, InstallationId};

/// What led to an event that a handler published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The event that was being handled.
    pub causation_id: EventId,
    /// The event at the beginning of the chain, which came from outside.
    pub correlation_id: EventId,
    /// How many events stand before this one in the chain, at least one.
    pub depth: u32,
}

/// The bits of a UUID v7 that are not its time, its version or its variant.
const RANDOM_BITS: u128 = (0x0fff << 64) | 0x3fff_ffff_ffff_ffff;
const VERSION_AND_VARIANT: u128 = (0x7000 << 64) | (0x8000_0000_0000_0000);
const TIME_BITS: u128 = 0xffff_ffff_ffff << 80;

/// The id of the `n`-th event that a handler of an installation publishes while it handles `source`: the same
/// each time, so that a handler that is run again publishes nothing twice. A UUID v7 in layout, with the time of
/// `source` and 74 bits of a SHA-256 over the four.
pub fn derived_id(source: EventId, installation: InstallationId, handler: &str, n: u32) -> EventId {
    // Only the name varies in length, and it stands last.
    let digest = Sha256::new()
        .chain_update(b"pointsman derived event\0")
        .chain_update(source.uuid().as_bytes())
        .chain_update(installation.uuid().as_bytes())
        .chain_update(n.to_be_bytes())
        .chain_update(handler.as_bytes())
        .finalize();
    let drawn = digest
        .iter()
        .take(16)
        .fold(0, |bits: u128, byte| (bits << 8) | u128::from(*byte));
    let time = source.uuid().as_u128() & TIME_BITS;
    EventId::new(Uuid::from_u128(
        time | VERSION_AND_VARIANT | (drawn & RANDOM_BITS),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SOURCE: EventId = EventId::new(Uuid::from_u128(0x0193_5f2c_8a00_7abc_8def_0123_4567_89ab));
    const CRM: InstallationId = InstallationId::new(Uuid::from_u128(7));

    #[test]
    fn a_derived_id_is_the_same_each_time_and_has_the_time_of_its_source() {
        let id = derived_id(SOURCE, CRM, "deal_closed", 0);
        assert_eq!(id, derived_id(SOURCE, CRM, "deal_closed", 0));
        assert_eq!(
            id.uuid().get_timestamp().map(|time| time.to_unix()),
            SOURCE.uuid().get_timestamp().map(|time| time.to_unix())
        );
        assert_eq!(id.uuid().get_version_num(), 7);
        assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
        // Were it another one tomorrow, a handler that is retried after an update would publish twice.
        assert_eq!(id.to_string(), "01935f2c-8a00-7926-ad68-2fc0bd8f8268");
    }

    #[test]
    fn whatever_differs_makes_another_id() {
        let other_source = EventId::new(Uuid::from_u128(SOURCE.uuid().as_u128() ^ 1));
        let other_installation = InstallationId::new(Uuid::from_u128(8));
        let ids = HashSet::from([
            derived_id(SOURCE, CRM, "deal_closed", 0),
            derived_id(SOURCE, CRM, "deal_closed", 1),
            derived_id(SOURCE, CRM, "deal_close", 0),
            derived_id(SOURCE, CRM, "", 0),
            derived_id(SOURCE, other_installation, "deal_closed", 0),
            derived_id(other_source, CRM, "deal_closed", 0),
        ]);
        assert_eq!(ids.len(), 6);
    }
}

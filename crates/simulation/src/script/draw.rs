//! What an admin or a publisher of a simulated world may ask for.

use crate::seeded_rng::SeededRng;
use pointsman_domain::{
    event_pattern::EventPattern,
    id::SubscriptionId,
    idempotency::Idempotency,
    installation::{InstallationChange, InstallationUpdate},
};
use pointsman_simulated_clock::Clock;

const PATTERNS: [&str; 4] = ["**", "crm.**", "shop.order.paid", "crm.deal.opened"];

/// A key, now and then one that was used before, with the same body or another one.
pub(super) fn key(rng: &mut SeededRng) -> Option<Idempotency> {
    rng.chance(150).then(|| Idempotency {
        key: format!("key {}", rng.number(0..8)).into(),
        body_sha256: [u8::from(rng.chance(200)); 32],
    })
}

pub(super) fn subscribe(rng: &mut SeededRng) -> Option<InstallationChange> {
    let pattern = rng.pick(&PATTERNS)?;
    Some(InstallationChange::Subscribe {
        subscription_id: SubscriptionId::new(Clock.new_uuid()),
        pattern: EventPattern::parse(pattern).ok()?,
    })
}

pub(super) fn hold(rng: &mut SeededRng) -> InstallationChange {
    let pause = rng.chance(500);
    InstallationChange::Update(InstallationUpdate {
        paused: pause.then_some(true),
        enabled: (!pause).then_some(false),
        ..InstallationUpdate::default()
    })
}

pub(super) fn release() -> InstallationChange {
    InstallationChange::Update(InstallationUpdate {
        paused: Some(false),
        enabled: Some(true),
        ..InstallationUpdate::default()
    })
}

pub(super) fn limit(rng: &mut SeededRng) -> InstallationChange {
    InstallationChange::Update(InstallationUpdate {
        concurrency: rng.pick(&[None, Some(1), Some(3), Some(100)]).flatten(),
        ordered: rng.pick(&[None, Some(true), Some(false)]).flatten(),
        rate_limit: rng
            .pick(&[None, Some(None), Some(Some(2)), Some(Some(50))])
            .flatten(),
        ..InstallationUpdate::default()
    })
}

//! The modes of simulated services.

use crate::seeded_rng::SeededRng;

/// How a service behaves at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceMode {
    Well,
    Failing,
    Hanging,
    Gone,
    /// Answers everything with 422.
    Refusing,
    /// Fails some events, and takes all others.
    Choosy,
}

impl ServiceMode {
    pub(crate) fn draw(rng: &mut SeededRng) -> Self {
        const ALL: [ServiceMode; 6] = [
            ServiceMode::Well,
            ServiceMode::Failing,
            ServiceMode::Hanging,
            ServiceMode::Gone,
            ServiceMode::Refusing,
            ServiceMode::Choosy,
        ];
        ALL[rng.weighted(&[6, 3, 2, 1, 2, 3])]
    }
}

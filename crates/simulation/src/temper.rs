//! How services are.

use crate::dice::Dice;

/// How a service is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    Well,
    Failing,
    Hanging,
    Gone,
    /// Answers everything with 422.
    Refusing,
    /// Fails some events for reasons of theirs, and takes all others.
    Choosy,
}

impl Temper {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        const ALL: [Temper; 6] = [
            Temper::Well,
            Temper::Failing,
            Temper::Hanging,
            Temper::Gone,
            Temper::Refusing,
            Temper::Choosy,
        ];
        ALL[dice.weighted(&[6, 3, 2, 1, 2, 3])]
    }
}

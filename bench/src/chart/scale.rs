//! Scales: from values to heights.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From zero.
    Linear,
    /// By powers of ten.
    Logarithmic,
}

/// A scale for given values, with its ticks.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    bottom: f64,
    top: f64,
    /// The values at which there are lines.
    pub(super) ticks: Vec<f64>,
}

/// The approximate number of steps on a linear scale.
const STEPS: f64 = 5.0;

impl Scale {
    pub(super) fn axis(self, least: f64, most: f64) -> Axis {
        match self {
            Self::Linear => {
                let step = nice_step(most / STEPS);
                let count = (most / step).ceil().max(1.0);
                Axis {
                    scale: self,
                    bottom: 0.0,
                    top: count * step,
                    ticks: steps(0.0, count).map(|number| number * step).collect(),
                }
            }
            Self::Logarithmic => {
                let first = least.max(1e-6).log10().floor();
                let last = most.log10().ceil().max(first + 1.0);
                Axis {
                    scale: self,
                    bottom: first,
                    top: last,
                    ticks: steps(first, last).map(|power| 10_f64.powf(power)).collect(),
                }
            }
        }
    }
}

impl Axis {
    /// The height of a value, from 0 at the bottom to 1 at the top.
    pub(super) fn height(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(1e-9).log10(),
        };
        ((place - self.bottom) / (self.top - self.bottom)).clamp(0.0, 1.0)
    }
}

fn steps(from: f64, to: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(from), |last| Some(last + 1.0)).take_while(move |next| *next <= to + 0.5)
}

/// The smallest of 1, 2 and 5 times a power of ten that is not less than this.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= least);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_scale_begins_at_zero_and_has_round_steps() {
        let axis = Scale::Linear.axis(3.0, 23_000.0);
        assert_eq!(axis.ticks, [0.0, 5_000.0, 10_000.0, 15_000.0, 20_000.0, 25_000.0]);
        assert!((axis.height(12_500.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_logarithmic_scale_goes_by_powers_of_ten() {
        let axis = Scale::Logarithmic.axis(0.3, 40.0);
        assert_eq!(axis.ticks.len(), 4);
        assert!((axis.height(1.0) - 1.0 / 3.0).abs() < 1e-9);
    }
}

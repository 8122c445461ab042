//! The beta-binomial law: each key has a share of its own, and the shares are spread as a beta distribution with a mean and a
//! precision (high: all keys alike). Source: Skellam 1948. Cost: three rising factorials a likelihood.

use super::math::ln_rising;

/// A beta distribution of shares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Mean.
    pub mean: f64,
    /// Precision: the two parameters' sum.
    pub precision: f64,
}

impl Share {
    /// Placeholder in a list of laws: the law of rare events that the caller of `fit` gives.
    pub const RARE: Share = Share::new(0.0, 0.0);
    /// With this mean and precision.
    pub const fn new(mean: f64, precision: f64) -> Share {
        Share { mean, precision }
    }
    /// ln P that `k` of `n` in a given order were of the kind.
    pub fn ln_likelihood(&self, k: u32, n: u32) -> f64 {
        let (a, b) = (self.mean * self.precision, (1.0 - self.mean) * self.precision);
        ln_rising(a, k) + ln_rising(b, n.saturating_sub(k)) - ln_rising(a + b, n)
    }
}

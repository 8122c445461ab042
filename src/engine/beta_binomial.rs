//! The beta-binomial law of counts: each key has a share of its own, and the shares follow a beta
//! distribution with a mean and a precision (high: all keys alike). Source: Skellam 1948. Cost: three rising
//! factorials a likelihood.

use super::math::ln_rising;

/// A beta distribution of shares, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Mean.
    pub mean: f64,
    /// Precision: the sum of its two parameters.
    pub precision: f64,
}

impl Share {
    /// Placeholder in a list of laws. `Counts::fit` replaces it by the law that its caller gives.
    pub const RARE: Share = Share::new(0.0, 0.0);
    /// The distribution with this mean and precision.
    pub const fn new(mean: f64, precision: f64) -> Share {
        Share { mean, precision }
    }
    /// ln P that `k` of `n` requests, in a given order, are of the kind.
    pub fn ln_likelihood(&self, k: u32, n: u32) -> f64 {
        let (a, b) = (self.mean * self.precision, (1.0 - self.mean) * self.precision);
        ln_rising(a, k) + ln_rising(b, n.saturating_sub(k)) - ln_rising(a + b, n)
    }
}

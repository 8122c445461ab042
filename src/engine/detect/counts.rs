//! Follow-ups and repeats: of a key's requests so many were of a kind, each key with a share of its own.
//!
//! The beta-binomial law: shares are spread as a beta distribution with a mean and a precision (high: all keys alike). Source:
//! Skellam 1948. Cost: three rising factorials a key.

use super::keys::{MOST, Weights};
use crate::engine::math::ln_rising;

/// A beta distribution of shares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Mean.
    pub mean: f64,
    /// Precision: the two parameters' sum.
    pub precision: f64,
}

impl Share {
    /// In a list of laws: what the caller of `fit` says is rare.
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

/// The likeliest of several laws for weighted counts, and ln of that likelihood. Equal counts are looked at once.
/// `Share::RARE` among the laws stands for `rare`.
pub fn fit(counts: &[(u32, u32)], weights: &Weights, among: &[Share], rare: Share) -> (f64, Share) {
    let mut tally = [(0u32, 0u32, 0.0f64); MOST];
    let mut used = 0usize;
    for ((k, n), w) in counts.iter().zip(weights).filter(|(_, w)| **w > 1.0e-6) {
        let slot =
            tally.iter_mut().take(used.saturating_add(1)).find(|t| (t.0, t.1) == (*k, *n) || t.2 == 0.0);
        if let Some(t) = slot {
            used = used.saturating_add(usize::from(t.2 == 0.0));
            *t = (*k, *n, t.2 + w);
        }
    }
    let tally = tally.get(..used).unwrap_or_default();
    let mut best = (f64::MIN, Share::default());
    for share in among {
        let share = if *share == Share::RARE { &rare } else { share };
        let total = tally.iter().fold(0.0, |sum, (k, n, w)| sum + w * share.ln_likelihood(*k, *n));
        if total > best.0 {
            best = (total, *share);
        }
    }
    best
}

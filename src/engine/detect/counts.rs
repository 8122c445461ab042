//! Follow-ups and repeats: how many of a key's requests are of a kind. Each key has a share of its own.
//!
//! The beta-binomial law: shares are spread as a beta distribution with a mean and a precision (high: all keys alike). Source:
//! Skellam 1948. Cost: three rising factorials a key.

use super::coming::{MOST, Weights};
use crate::engine::beta_binomial::Share;

/// The likeliest of several laws for weighted counts, and ln of its likelihood. Equal counts are evaluated once. Where a
/// law is `Share::RARE`, `rare` is used in its place.
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

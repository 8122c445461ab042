//! Q. Hypothesis: the keys do nothing else.

use super::{Signal, View};
use crate::engine::config::Campaign;
use crate::engine::math;

/// -10..10 points by the mean share of a key's openings that fall into this group.
pub fn score(view: &View<'_>, _: &Campaign) -> Signal {
    if view.keys.is_empty() {
        return Signal::UNKNOWN;
    }
    let sum: f64 = view.keys.iter().map(|s| f64::from(s.cnt) / f64::from(s.tot.max(s.cnt).max(1))).sum();
    let q = sum / view.keys.len() as f64;
    Signal::points(math::clamp(10.0 * (q - 0.3) / 0.7, -10.0, 10.0))
}

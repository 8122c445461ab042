//! F. Hypothesis: the keys never sleep. People do, each in one time zone.

use super::{Signal, View};
use crate::engine::config::Campaign;
use crate::engine::math;

/// -20..15 points by how many hours of the day a key covers against a uniform one; eight keys with 16 openings needed.
pub fn score(view: &View<'_>, _: &Campaign) -> Signal {
    let covered = view
        .keys
        .iter()
        .filter(|s| s.hn() >= 16)
        .map(|s| (f64::from(s.hour_bits().count_ones()) / math::expected_hours(s.hn())).min(1.2));
    let (n, sum) = covered.fold((0u32, 0.0), |(n, sum), f| (n.saturating_add(1), sum + f));
    if n < 8 {
        return Signal::UNKNOWN;
    }
    Signal::points(math::clamp(15.0 * (sum / f64::from(n) - 0.75) / 0.2, -20.0, 15.0))
}
